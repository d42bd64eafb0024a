#!lua flags=allow-oom
-- with: digits epoch node time wake log change counts stays leaving tables ending
-- make_room(room or ''): of those who are away, in that room or anywhere (of the 1,024 that are so for
-- longest), one of the address that has most ends: the one that is away for longest. OK / NONE.
local ROOM = ARGV[5]
local away = {}
if ROOM == '' then
  away = call('ZRANGE', D .. 'lost', 0, 1023)
else
  for _, value in ipairs(call('HVALS', D .. 'room:' .. ROOM .. ':members')) do
    away[#away + 1] = string.match(value, '^%d+:(%x+):')
  end
end
local held, oldest, most = {}, {}, nil
for i = 1, #away do
  local found = call('HMGET', D .. 'fp:' .. away[i], 'lost', 'group')
  if found[1] and found[1] ~= '' then
    local group, at = found[2], tonumber(found[1])
    held[group] = (held[group] or 0) + 1
    if not oldest[group] or at < oldest[group][1] then oldest[group] = {at, away[i]} end
    if not most or held[group] > held[most] then most = group end
  end
end
if not most then return {'NONE'} end
end_session(oldest[most][2], '')
return {'OK'}
