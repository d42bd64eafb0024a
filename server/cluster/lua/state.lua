-- What is said of a room: number, log id, name, seq, number of the log's first entry, roster.
local function described(R, with_roster)
  local state = call('HMGET', R .. 'state', 'number', 'log', 'name', 'seq')
  local first, roster = call('XRANGE', R .. 'log', '-', '+', 'COUNT', 1)[1], {}
  first = first and string.match(first[1], '^%d+') or state[4] + 1
  if with_roster == '1' then
    local members, ids = call('HGETALL', R .. 'members'), {}
    for i = 1, #members, 2 do ids[#ids + 1] = members[i] end
    local bundles = call('HMGET', R .. 'bundles', unpack(ids))
    for i = 1, #ids do
      local at = #roster
      roster[at + 1], roster[at + 2], roster[at + 3] = ids[i], members[2 * i], bundles[i] or ''
    end
  end
  return state[1], state[2], state[3], state[4], first, roster
end
-- All that there is of a session, as `look` says it.
local function state_of(key)
  local found, rooms = session_of(key)
  local reply = {'OK', found.n, found.node, found.nick, found.token, found.pinned, found.group,
    found.sign, found.taken, found.lost, found.lost == '' and 0 or math.max(NOW - found.lost, 0)}
  for i = 1, #rooms do
    local room = rooms[i]
    local R, id = D .. 'room:' .. room .. ':', found['r:' .. room]
    local member = call('HGET', R .. 'members', id)
    if member and call('EXISTS', R .. 'state') == 1 then
      local number, log, name, seq, first = described(R)
      local queue = call('HMGET', R .. 'q:' .. id, 'number', 'behind')
      reply[#reply + 1] = {room, id, found['f:' .. room], number, log, name,
        string.match(member, '^%d+'), first, seq, queue[1] or 0, queue[2] or 0, found['p:' .. room]}
    end
  end
  return reply
end
