#!lua
-- with: digits epoch node time session wake log change counts leaving state entering
-- enter(FP, n, room, name, log id, nick JSON, bundle, most rooms, roster, known, ref, leave): a member at the log's
-- end, in a room that is made where it is not; `leave` is left in the same step.
-- OK id joined number log name seq first roster, also when it comes again / IN likewise: it is in there /
-- AGAIN / REPEATED / GONE: not in `leave` / MANY / FULL / ROOM_FULL / FENCED.
local REF, LEAVE = ARGV[16], ARGV[17]
local s = held('r:' .. K, 'f:' .. K, 'r:' .. LEAVE)
if not s then return {'FENCED'} end
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
local full = no_place()
if full then return {full} end
local id, seq, spared = take_place(FP, REF)
wake(R, K, spared)
if LEAVE ~= '' then leave_room(S, NODE, LEAVE, s[7]) end
if REF ~= '0' then answered(s, 'OK', REF, 0, accepted(REF)) end
return entered('OK', id, seq)
