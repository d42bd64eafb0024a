#!lua
-- with: digits epoch node session wake
-- private(FP, n, room, id, ref, to, change, rest): into the queue of `to`. OK 0 answer / GONE, STALE, FULL
-- (no room in it) 0 refusal / UNEXPECTED: not taken / AGAIN / REPEATED / FENCED.
local K, ID, REF, TO, CHANGE, REST = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local R = D .. 'room:' .. K .. ':'
local Q = R .. 'q:' .. TO
local s = held('r:' .. K)
if not s then return {'FENCED'} end
local other = not_now(s, REF)
if other then return other end
local state = call('HMGET', R .. 'state', 'seq', 'number', 'until')
local members = call('HMGET', R .. 'members', ID, TO)
if not state[1] or s[5] ~= ID or not members[1] or not members[2] or TO == ID then
  return answered(s, 'GONE', REF, 0, refused(REF, 'gone'))
end
local change, oldest = tonumber(CHANGE), call('LINDEX', R .. 'changes', 0)
local own_join, join = string.match(members[1], '^%d+'), string.match(members[2], '^%d+')
if change < tonumber(own_join) or change < tonumber(oldest) then
  return answered(s, 'STALE', REF, 0, refused(REF, 'stale'))
end
if not call('LPOS', R .. 'changes', CHANGE) then return {'UNEXPECTED'} end
if change < tonumber(join) then return answered(s, 'STALE', REF, 0, refused(REF, 'stale')) end
-- One of them fits where there is nothing else, whatever its size.
local queue = call('HMGET', Q, 'number', 'b:' .. ID, 'posts', 'behind')
local own, posts, size = tonumber(queue[2] or 0), tonumber(queue[3] or 0), #REST
if queue[4] or (own > 0 and own + size > PRIVATE_BYTES_OF_ONE)
    or (posts > 0 and posts + size > PRIVATE_BYTES) then
  local full = '{"type":"refused","code":"rate_limited","ref":' .. REF .. ',"retry_after":'
  return answered(s, 'FULL', REF, 0, full .. QUEUE_SECONDS .. '}')
end
local number = digits((queue[1] or 0) + 1)
size = size + 37 + #state[2] + #number
call('HSET', S, 'taken', REF)
call('HSET', Q, 'number', number, 'b:' .. ID, own + size, 'posts', posts + size)
call('XADD', R .. 'p:' .. TO, number .. '-0', 'a', state[1], 's', ID, 'k', 'private_for', 'e', REST)
if not queue[1] then
  call('PEXPIREAT', Q, state[3])
  call('PEXPIREAT', R .. 'p:' .. TO, state[3])
end
local encoded = accepted(REF)
keep_answer(s, REF, encoded)
local node = call('HGET', D .. 'fp:' .. string.match(members[2], '^%d+:(%x+):'), 'node')
if node and node ~= '' then tell(node, 'm', K .. '\n' .. TO) end
return {'OK', 0, encoded}
