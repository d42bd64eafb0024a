#!lua flags=allow-oom
-- with: digits epoch node time session wake log change
-- rejoin(FP, n, room, joined, number): a newcomer from now on, which had joined at `joined` and has its own
-- up to `number`; its queue goes. OK seq, private posts that were in it / GONE / FENCED.
local K, JOINED, NUMBER = ARGV[8], ARGV[9], ARGV[10]
local R = D .. 'room:' .. K .. ':'
local s = held('r:' .. K)
if not s then return {'FENCED'} end
local id = s[5]
local member = id and call('EXISTS', R .. 'state') == 1 and call('HGET', R .. 'members', id)
if not member then return {'GONE'} end
local joined, rest = string.match(member, '^(%d+)(:.*)$')
local Q = R .. 'q:' .. id
if tonumber(joined) > tonumber(JOINED) then -- it comes again
  return {'OK', joined, call('HGET', Q, 'missed') or 0}
end
local missed = 0
for _, entry in ipairs(call('XRANGE', R .. 'p:' .. id, '(' .. NUMBER .. '-0', '+')) do
  if entry[2][4] ~= '0' then missed = missed + 1 end
end
for _, field in ipairs(call('HKEYS', Q)) do
  if field ~= 'number' then call('HDEL', Q, field) end
end
call('XTRIM', R .. 'p:' .. id, 'MAXLEN', 0)
call('HSET', Q, 'missed', missed)
keep(Q)
local seq = digits(change(R, K, 32 + #id, 'k', 'r', 's', id))
call('HSET', R .. 'members', id, seq .. rest)
return {'OK', seq, missed}
