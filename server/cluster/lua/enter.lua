#!lua
-- with: digits epoch node time session wake log change counts leaving state
-- enter(FP, n, room, name, log id, nick JSON, bundle, most rooms, ref, roster, leave): a member at the log's
-- end, in a room that is made where it is not; `leave` is left in the same step.
-- OK id joined number log name seq first roster, also when it comes again / IN likewise: it is in there /
-- AGAIN / REPEATED / GONE: not in `leave` / MANY / FULL / ROOM_FULL / FENCED.
local K, NAME, LOG, NICK, BUNDLE, MOST = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local REF, ROSTER, LEAVE = ARGV[14], ARGV[15], ARGV[16]
local R = D .. 'room:' .. K .. ':'
local s = held('r:' .. K, 'f:' .. K, 'r:' .. LEAVE)
if not s then return {'FENCED'} end
local is_there = call('EXISTS', R .. 'state') == 1
local inside = is_there and s[5] and call('HGET', R .. 'members', s[5])
local function entered(word, id, joined)
  return {word, id, joined, described(R, ROSTER)}
end
if inside and s[6] == REF then -- the same once more, or what was broken off
  if tonumber(REF) > tonumber(s[3]) then
    if s[7] and LEAVE ~= K then leave_room(S, NODE, LEAVE, s[7]) end
    answered(s, 'OK', REF, 0, accepted(REF))
  end
  return entered('OK', s[5], string.match(inside, '^%d+'))
end
local other = REF ~= '0' and not_now(s, REF)
if other then return other end
if LEAVE ~= '' and not s[7] then return answered(s, 'GONE', REF, 0, refused(REF, 'gone')) end
if inside then
  if LEAVE ~= '' and LEAVE ~= K then leave_room(S, NODE, LEAVE, s[7]) end
  if REF ~= '0' then answered(s, 'IN', REF, 0, accepted(REF)) end
  return entered('IN', s[5], string.match(inside, '^%d+'))
end
local places = LEAVE ~= '' and -1 or 0
for _, field in ipairs(call('HKEYS', S)) do
  if string.sub(field, 1, 2) == 'r:' and field ~= 'r:' .. K then places = places + 1 end
end
if places >= ROOMS_OF_ONE then return {'MANY'} end
if not is_there and call('ZCARD', D .. 'rooms') >= tonumber(MOST) then return {'FULL'} end
if is_there and call('HLEN', R .. 'members') >= ROOM_MEMBERS then return {'ROOM_FULL'} end
local id = digits(call('HINCRBY', D .. 'numbers', 'member', 1))
if not is_there then
  drop_room(R, K)
  local number = digits(call('HINCRBY', D .. 'numbers', 'room', 1))
  call('HSET', R .. 'state', 'log', LOG, 'name', NAME, 'number', number, 'seq', 0, 'bytes', 0,
    'change', 0, 'mseq', 0, 'mbytes', 0, 'until', UNTIL)
  call('ZADD', D .. 'rooms', 0, K)
  keep(D .. 'rooms')
end
local seq = digits(call('HGET', R .. 'state', 'seq') + 1)
call('HSET', S, 'r:' .. K, id, 'f:' .. K, REF, 'p:' .. K, '0:0')
count(R, NODE)
change(R, K, 67 + #seq + #id + #NICK + #BUNDLE, 'k', 'j', 's', id, 'f', FP, 'n', NICK, 'b', BUNDLE)
call('HSET', R .. 'bundles', id, BUNDLE)
call('HSET', R .. 'members', id, seq .. ':' .. FP .. ':' .. NICK)
if not is_there then
  for _, what in ipairs({'state', 'log', 'members', 'bundles', 'nodes', 'changes'}) do keep(R .. what) end
end
if LEAVE ~= '' then leave_room(S, NODE, LEAVE, s[7]) end
if REF ~= '0' then answered(s, 'OK', REF, 0, accepted(REF)) end
return entered('OK', id, seq)
