-- A room's log. `seq` and `bytes` in its state are of all that ever was appended; every 64 entries or
-- 128 KiB there is a mark, `ms:seq:bytes`, by which what is beyond the bounds goes: the engine has at
-- least what a node's log would have, and no more than that and two marks' worth.
local function trim(R, last)
  local seq = string.match(last, '^%d+:(%d+)')
  call('XTRIM', R .. 'log', 'MINID', digits(seq + 1) .. '-0')
end
local function set_mark(R, seq, bytes, expires)
  local time = call('TIME')
  local mark = time[1] .. string.format('%03d', math.floor(time[2] / 1000)) .. ':' .. digits(seq) .. ':' .. bytes
  call('HSET', R .. 'state', 'mseq', seq, 'mbytes', bytes)
  if call('RPUSH', R .. 'marks', mark) == 1 then call('PEXPIREAT', R .. 'marks', expires) end
  local gone
  for _ = 1, 256 do
    local first = call('LINDEX', R .. 'marks', 0)
    local at, size = string.match(first, '^%d+:(%d+):(%d+)$')
    if seq - at < LOG_ENTRIES and bytes - size < LOG_BYTES then break end
    gone = first
    call('LPOP', R .. 'marks')
  end
  if gone then trim(R, gone) end
end
-- Count an entry of `size` bytes beside its number; the state is `seq, bytes, mseq, mbytes, until` from
-- place `at` of what HMGET said. The number that it gets.
local function count_entry(R, state, at, size, ...)
  local seq = state[at] + 1
  local bytes = digits(state[at + 1] + size + #tostring(seq))
  call('HSET', R .. 'state', 'seq', seq, 'bytes', bytes, ...)
  return seq, bytes
end
local function mark_due(R, state, at, seq, bytes)
  if seq - state[at + 2] >= 64 or bytes - state[at + 3] >= 131072 then
    set_mark(R, seq, bytes, state[at + 4])
  end
end
