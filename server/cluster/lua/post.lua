#!lua
-- with: digits epoch node session wake log
-- post(FP, n, room, id, ref, change, epoch, box n, rest, [to, wrap n, wrap rest]…): the wraps go into their
-- recipients' queues, then the post into the log. OK seq answer / STALE, GONE 0 refusal / UNEXPECTED: not
-- taken / AGAIN / REPEATED / FENCED. Nothing is renewed here, and JSON is never parsed: this is the hot path.
local K, ID, REF, CHANGE, BOX, AT, REST =
  ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local R = D .. 'room:' .. K .. ':'
local s = held('r:' .. K, 'p:' .. K)
if not s then return {'FENCED'} end
if tonumber(REF) <= tonumber(s[3]) then return again(REF) end
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
if ARGV[14] then
  local epoch, box_n = tonumber(BOX), 0
  local last_epoch, last_n = string.match(s[6], '^(%d+):(%d+)$')
  local tos, rests, seen = {}, {}, {[ID] = true}
  for i = 14, #ARGV, 3 do -- not for a number that was posted already, nor for oneself
    local to = ARGV[i]
    local is_newer = epoch > tonumber(last_epoch)
      or (epoch == tonumber(last_epoch) and tonumber(ARGV[i + 1]) > tonumber(last_n))
    if is_newer and not seen[to] then
      seen[to] = true
      tos[#tos + 1], rests[#rests + 1] = to, ARGV[i + 2]
    end
  end
  if tos[1] then
    local W = R .. 'w:' .. ID
    local members, before = call('HMGET', R .. 'members', unpack(tos)), call('HMGET', W, unpack(tos))
    local wrapped, got = {}, {}
    for i = 1, #tos do
      local to, joined = tos[i], members[i] and tonumber(string.match(members[i], '^%d+'))
      local old_epoch, old_seq = string.match(before[i] or '', '^(%d+):(%d+)$')
      -- A second one changes nothing, unless its recipient began anew since the first.
      if joined and not (old_epoch == BOX and tonumber(old_seq) >= joined) then
        wrapped[#wrapped + 1], wrapped[#wrapped + 2] = to, BOX .. ':' .. state[1]
        local Q = R .. 'q:' .. to
        local queue = call('HMGET', Q, 'number', 'b:0', 'behind')
        if not queue[3] then
          local number = digits((queue[1] or 0) + 1)
          local size = 33 + #state[7] + #number + #rests[i] + (queue[2] or 0)
          call('HSET', Q, 'number', number, 'b:0', size)
          if size > CHAIN_BYTES then call('HSET', Q, 'behind', 1) end
          call('XADD', R .. 'p:' .. to, number .. '-0', 'a', state[1], 's', 0, 'k', 'key_for', 'e', rests[i])
          if not queue[1] then
            call('PEXPIREAT', Q, state[5])
            call('PEXPIREAT', R .. 'p:' .. to, state[5])
          end
          got[#got + 1] = to
        end
      end
    end
    if wrapped[1] then
      if last_epoch ~= BOX then call('DEL', W) end
      call('HSET', W, unpack(wrapped))
      call('PEXPIREAT', W, state[5])
      if call('HLEN', W) > 2 * ROOM_MEMBERS then -- many have gone, and come
        local ids = call('HKEYS', W)
        local there = call('HMGET', R .. 'members', unpack(ids))
        for i = 1, #ids do
          if not there[i] then call('HDEL', W, ids[i]) end
        end
      end
    end
    if got[1] then given = table.concat(got, ',') end
  end
end
local seq, bytes = count_entry(R, state, 1, 23 + #REST)
local written = digits(seq)
call('HSET', S, 'taken', REF, 'p:' .. K, BOX .. ':' .. AT)
if given then
  call('XADD', R .. 'log', written .. '-0', 'k', 'p', 's', ID, 'c', CHANGE, 'r', REF, 'e', REST, 'w', given)
else
  call('XADD', R .. 'log', written .. '-0', 'k', 'p', 's', ID, 'c', CHANGE, 'r', REF, 'e', REST)
end
local encoded = accepted(REF, written)
keep_answer(s, REF, encoded)
mark_due(R, state, 1, seq, bytes)
wake(R, K)
return {'OK', seq, encoded}
