#!lua flags=allow-oom
-- with: digits epoch node time wake log change counts stays leaving tables ending
-- end_token(token, reason): the sessions that came in with it end, connected or not; their nodes are told
-- to hang up with that. OK how many.
local TOKEN, REASON = ARGV[5], ARGV[6]
local ended = 0
for _, fingerprint in ipairs(call('SMEMBERS', D .. 'token-of:' .. TOKEN)) do
  if call('HGET', D .. 'fp:' .. fingerprint, 'token') == TOKEN then
    end_session(fingerprint, REASON)
    ended = ended + 1
  else -- that session is gone; it may be in again otherwise
    call('SREM', D .. 'token-of:' .. TOKEN, fingerprint)
  end
end
return {'OK', ended}
