#!lua flags=no-writes
-- with: digits epoch node time stays state
-- look(FP): DISPLACED / NONE / OK n node nick token pinned group sign taken lost age, then of each room
-- [room id ref number log name joined first seq private-number behind epoch:n].
local FP = ARGV[5]
local key = D .. 'fp:' .. FP
if call('EXISTS', key) == 1 then return state_of(key) end
if call('ZSCORE', D .. 'displaced', FP) then return {'DISPLACED'} end
return {'NONE'}
