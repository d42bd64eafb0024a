#!lua flags=no-writes
-- with: digits epoch node time stays state
-- look(FP, bans): BANS: those who are kept out are not as the node knows (its count of changes, or '') / DISPLACED /
-- NONE / OK n node nick token pinned group sign taken lost age, then of each room [room id ref number log name joined
-- first seq private-number behind epoch:n].
local FP, BANS = ARGV[5], ARGV[6]
if BANS ~= '' and (call('HGET', D .. 't:version', 'bans') or '0') ~= BANS then return {'BANS'} end
local key = D .. 'fp:' .. FP
if call('EXISTS', key) == 1 then return state_of(key) end
if call('ZSCORE', D .. 'displaced', FP) then return {'DISPLACED'} end
return {'NONE'}
