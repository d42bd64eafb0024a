#!lua
-- with: digits epoch node time session wake log change stays looks
-- rename(FP, n, room, ref, nick, nick JSON, look…): in all its rooms. OK seq answer: the number in that room /
-- GONE 0 refusal: it is not in it / TAKEN, LOST as let_in, not kept / AGAIN / REPEATED / FENCED.
local K, REF, NICK, WRITTEN = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local looks, is_new = {}, {}
for i = 12, #ARGV do
  looks[#looks + 1] = ARGV[i]
  is_new[ARGV[i]] = true
end
local s = held('r:' .. K)
if not s then return {'FENCED'} end
local other = not_now(s, REF)
if other then return other end
if not s[5] or call('HEXISTS', D .. 'room:' .. K .. ':members', s[5]) == 0 then
  return answered(s, 'GONE', REF, 0, refused(REF, 'gone'))
end
local taken = taken_looks(looks, FP)
if taken then return taken end
local found, rooms = session_of(S)
take_looks(looks, FP)
local number
for i = 1, #rooms do
  local R, id = D .. 'room:' .. rooms[i] .. ':', found['r:' .. rooms[i]]
  local member = call('HGET', R .. 'members', id)
  if member then
    local seq = change(R, rooms[i], 39 + #id + #WRITTEN, 'k', 'n', 's', id, 'n', WRITTEN)
    call('HSET', R .. 'members', id, string.match(member, '^%d+:%x+:') .. WRITTEN)
    if rooms[i] == K then number = seq end
  end
end
for look in string.gmatch(found.looks, '[^\n]+') do
  if not is_new[look] and call('GET', D .. 'look:' .. look) == FP then
    call('DEL', D .. 'look:' .. look)
  end
end
local encoded = accepted(REF, digits(number))
call('HSET', S, 'taken', REF, 'nick', NICK, 'looks', table.concat(looks, '\n'))
keep_answer(s, REF, encoded)
return {'OK', number, encoded}
