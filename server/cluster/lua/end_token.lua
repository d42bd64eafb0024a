#!lua flags=allow-oom
-- with: digits epoch node time wake log change counts stays leaving tables ending
-- end_token(token, reason): the sessions that came in with it end, connected or not; their nodes are told
-- to hang up with that. OK how many.
local TOKEN, REASON = ARGV[5], ARGV[6]
local found = call('SMEMBERS', D .. 'token-of:' .. TOKEN)
for i = 1, #found do end_session(found[i], REASON) end
return {'OK', #found}
