-- Append a change of membership to a room's log; `size` is that of the entry without its number, the fields
-- follow. Its number.
local STATE = {'seq', 'bytes', 'mseq', 'mbytes', 'until'}
local function append_change(R, size, ...)
  local state = call('HMGET', R .. 'state', unpack(STATE))
  local seq, bytes = count_entry(R, state, 1, size, 'change', state[1] + 1)
  call('RPUSH', R .. 'changes', seq)
  call('LTRIM', R .. 'changes', -CHANGES_KEPT, -1)
  call('XADD', R .. 'log', digits(seq) .. '-0', ...)
  mark_due(R, state, 1, seq, bytes)
  return seq
end
-- The same, and wake its nodes.
local function change(R, room, size, ...)
  local seq = append_change(R, size, ...)
  wake(R, room)
  return seq
end
