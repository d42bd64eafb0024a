#!lua flags=allow-oom
-- with: digits epoch node time session wake log change counts leaving
-- leave(FP, n, room, ref): OK 0 answer / GONE 0 refusal / AGAIN / REPEATED / FENCED.
local K, REF = ARGV[8], ARGV[9]
local s = held('r:' .. K)
if not s then return {'FENCED'} end
local other = not_now(s, REF)
if other then return other end
if not s[5] then return answered(s, 'GONE', REF, 0, refused(REF, 'gone')) end
leave_room(S, NODE, K, s[5])
return answered(s, 'OK', REF, 0, accepted(REF))
