#!lua
-- with: digits epoch node session wake log
-- post(FP, n, after, room, id, ref, change, epoch, box n, holds, entry): what is held of its epoch goes into
-- its recipients' queues, then the post into the log, as `entry` has it: its ref, and what follows its number.
-- `holds`: how often this connection has held something (hold.lua). OK seq answer / STALE, GONE 0 refusal / UNEXPECTED, UNHELD (one of those was never done), SKIPPED:
-- not taken / AGAIN / REPEATED / FENCED. Nothing is renewed here, and JSON is never parsed: the hot path.
local K, ID, REF, CHANGE, BOX, AT, HOLDS, ENTRY =
  ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local R = D .. 'room:' .. K .. ':'
local s = held('r:' .. K, 'p:' .. K, 'h:' .. K, 'holds')
if not s then return {'FENCED'} end
local other = not_now(s, REF)
if other then return other end
if HOLDS ~= '0' and s[8] ~= N .. ':' .. HOLDS then return {'UNHELD'} end
local state = call('HMGET', R .. 'state', 'seq', 'bytes', 'mseq', 'mbytes', 'until', 'change', 'number')
local member = state[1] and s[5] == ID and call('HGET', R .. 'members', ID)
if not member then return answered(s, 'GONE', REF, 0, refused(REF, 'gone')) end
if CHANGE ~= state[6] then -- the last one is right for everybody
  local oldest, change = call('LINDEX', R .. 'changes', 0), tonumber(CHANGE)
  if change < tonumber(oldest) or change < tonumber(string.match(member, '^%d+')) then
    return answered(s, 'STALE', REF, 0, refused(REF, 'stale'))
  end
  if not call('LPOS', R .. 'changes', CHANGE) then return {'UNEXPECTED'} end
end
local given -- the ids of those who got a wrap
local H = R .. 'h:' .. ID
if s[7] == BOX then
  local W, epoch = R .. 'w:' .. ID, tonumber(BOX)
  local tos, holds = {}, {}
  local flat = call('HGETALL', H)
  for i = 1, #flat, 2 do
    tos[#tos + 1], holds[flat[i]] = flat[i], flat[i + 1]
  end
  table.sort(tos, function(one, two) return tonumber(one) < tonumber(two) end)
  -- Of each epoch there is who has a wrap, and since when; those of an earlier one are dropped.
  local before = call('HMGET', W, 'epoch', unpack(tos))
  local wrapped, got = {}, {}
  if epoch > tonumber(before[1] or 0) then
    call('DEL', W)
    before, wrapped = {BOX}, {'epoch', BOX}
  end
  local members = tos[1] and before[1] == BOX and call('HMGET', R .. 'members', unpack(tos)) or {}
  for i = 1, #members do
    local to, joined = tos[i], members[i] and tonumber(string.match(members[i], '^%d+'))
    -- A second one changes nothing, unless its recipient began anew since the first.
    local held_for, rest = string.match(holds[to], '^(%d+):(.*)$')
    if joined and held_for == digits(joined) and tonumber(before[i + 1] or 0) < joined then
      wrapped[#wrapped + 1], wrapped[#wrapped + 2] = to, state[1]
      local Q = R .. 'q:' .. to
      local queue = call('HMGET', Q, 'number', 'b:0', 'behind')
      if not queue[3] then
        local number = digits((queue[1] or 0) + 1)
        local size = 33 + #state[7] + #number + #rest + (queue[2] or 0)
        call('HSET', Q, 'number', number, 'b:0', size)
        call('XADD', R .. 'p:' .. to, number .. '-0', 'a', state[1], 's', 0, 'k', 'key_for', 'e', rest)
        if size > CHAIN_BYTES then -- its node has to hear of it
          number = digits(number + 1)
          call('HSET', Q, 'number', number, 'behind', 1)
          call('XADD', R .. 'p:' .. to, number .. '-0', 'a', state[1], 's', 0, 'k', 'behind')
        end
        if not queue[1] then
          call('PEXPIREAT', Q, state[5])
          call('PEXPIREAT', R .. 'p:' .. to, state[5])
        end
        got[#got + 1] = to
      end
    end
  end
  if wrapped[1] then
    call('HSET', W, unpack(wrapped))
    call('PEXPIREAT', W, state[5])
    if call('HLEN', W) > 2 * ROOM_MEMBERS then -- many have gone, and come
      local ids = call('HKEYS', W)
      local there = call('HMGET', R .. 'members', unpack(ids))
      for i = 1, #ids do
        if not there[i] and ids[i] ~= 'epoch' then call('HDEL', W, ids[i]) end
      end
    end
  end
  if got[1] then given = table.concat(got, ',') end
end
local seq, bytes = count_entry(R, state, 1, 23 + #ENTRY - #REF)
local written = digits(seq)
call('HSET', S, 'taken', REF, 'p:' .. K, BOX .. ':' .. AT)
if s[7] == BOX then
  call('DEL', H)
  call('HDEL', S, 'h:' .. K)
end
if given then
  call('XADD', R .. 'log', written .. '-0', 'p', ENTRY, 'w', given)
else
  call('XADD', R .. 'log', written .. '-0', 'p', ENTRY)
end
local encoded = accepted(REF, written)
keep_answer(s, REF, encoded)
mark_due(R, state, 1, seq, bytes)
wake(R, K)
return {'OK', seq, encoded}
