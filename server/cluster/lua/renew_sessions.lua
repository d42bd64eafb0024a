#!lua flags=allow-oom
-- with: digits epoch node time wake log change counts stays leaving keeping
-- renew_sessions(FP, n, …): renew all that is theirs, and heal what a script that was broken off has left.
-- OK fp…: those that are not this node's.
local reply = {'OK'}
for i = 5, #ARGV, 2 do
  local fingerprint = ARGV[i]
  local key = D .. 'fp:' .. fingerprint
  local found, rooms = session_of(key)
  if found.n == ARGV[i + 1] and found.node == NODE then
    for j = 1, #rooms do
      local id = found['r:' .. rooms[j]]
      if call('HEXISTS', D .. 'room:' .. rooms[j] .. ':members', id) == 0 then
        leave_room(key, '', rooms[j], id)
      end
    end
    call('SADD', D .. 'sessions', fingerprint)
    call('SADD', D .. 'of:' .. NODE, fingerprint)
    keep(D .. 'sessions')
    keep(D .. 'of:' .. NODE)
    keep_session(fingerprint, session_of(key))
  else
    reply[#reply + 1] = fingerprint
  end
end
return reply
