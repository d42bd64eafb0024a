#!lua flags=no-writes
-- with: digits epoch node
-- listing(most): OK how many rooms there are, then name and members of the first ones by name.
local rooms = call('ZRANGE', D .. 'rooms', 0, ARGV[5] - 1)
local reply = {'OK', call('ZCARD', D .. 'rooms')}
for i = 1, #rooms do
  local R = D .. 'room:' .. rooms[i] .. ':'
  local name = call('HGET', R .. 'state', 'name')
  if name then
    reply[#reply + 1] = name
    reply[#reply + 1] = call('HLEN', R .. 'members')
  end
end
return reply
