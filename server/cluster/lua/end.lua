#!lua flags=allow-oom
-- with: digits epoch node time wake log change counts stays leaving tables ending
-- end(FP, n or -1, lost-at or -1, reason): the session ends, if it is as was said: it leaves all rooms, its
-- looks are free. With a reason its node is told to hang up with that. OK / NONE / CHANGED.
local FP, WANTED, LOST_AT, REASON = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local found = call('HMGET', D .. 'fp:' .. FP, 'n', 'lost')
if not found[1] then return {'NONE'} end
if WANTED ~= '-1' and found[1] ~= WANTED then return {'CHANGED'} end
if LOST_AT ~= '-1' and found[2] ~= LOST_AT then return {'CHANGED'} end
end_session(FP, REASON)
return {'OK'}
