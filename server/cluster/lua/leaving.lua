-- Leaving a room, which goes with its last member.
-- A room that is empty, or of which a part is gone, goes wholly: its members' own keys, too.
local function drop_room(R, room)
  local ids = call('HKEYS', R .. 'members')
  for i = 1, #ids do
    call('DEL', R .. 'p:' .. ids[i], R .. 'q:' .. ids[i], R .. 'w:' .. ids[i], R .. 'h:' .. ids[i])
  end
  call('DEL', R .. 'state', R .. 'log', R .. 'members', R .. 'bundles', R .. 'nodes',
    R .. 'changes', R .. 'marks')
  call('ZREM', D .. 'rooms', room)
end
-- Leave out a number of the log: all nodes begin anew in that room when the next entry comes.
local function begin_anew(R) call('HINCRBY', R .. 'state', 'seq', 1) end
-- Take a session (its key, its node) out of a room in which it is `id`.
local function leave_room(session, node, room, id)
  local R = D .. 'room:' .. room .. ':'
  if call('EXISTS', R .. 'state') == 0 then
    drop_room(R, room)
  elseif call('HDEL', R .. 'members', id) == 1 then
    call('HDEL', R .. 'bundles', id)
    uncount(R, node)
    if call('HLEN', R .. 'members') == 0 then
      drop_room(R, room)
    else
      change(R, room, 28 + #id, 'k', 'l', 's', id)
    end
  else -- a script was broken off, and who knows what the nodes have heard
    begin_anew(R)
    change(R, room, 28 + #id, 'k', 'l', 's', id)
  end
  call('DEL', R .. 'q:' .. id, R .. 'w:' .. id, R .. 'h:' .. id)
  -- Its node reads this after the log, and what came before the end is for it still.
  call('PEXPIREAT', R .. 'p:' .. id, digits(NOW + 10000))
  call('HDEL', session, 'r:' .. room, 'f:' .. room, 'p:' .. room, 'h:' .. room)
end
