#!lua flags=no-writes
-- with: digits epoch node stays
-- who(most): OK how many sessions there are, then of each [nick lost token sign group fp n room-name…].
local reply = {'OK', call('SCARD', D .. 'sessions')}
for _, fingerprint in ipairs(call('SRANDMEMBER', D .. 'sessions', ARGV[5])) do
  local found, rooms = session_of(D .. 'fp:' .. fingerprint)
  if found.n then
    local row = {found.nick, found.lost, found.token, found.sign, found.group, fingerprint, found.n}
    for i = 1, #rooms do
      row[#row + 1] = call('HGET', D .. 'room:' .. rooms[i] .. ':state', 'name') or rooms[i]
    end
    reply[#reply + 1] = row
  end
end
return reply
