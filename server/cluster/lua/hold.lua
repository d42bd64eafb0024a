#!lua flags=allow-oom
-- with: digits epoch node session
-- hold(FP, n, after, room, id, epoch, holds, [to, wrap n, wrap rest]…): keep wraps for members, until a post of
-- their epoch is taken (post.lua); `holds` counts these calls of one connection. OK / SKIPPED: the one before it
-- was not done, and comes again: a later epoch must not stand in its way / FENCED. In a full engine, too: the post
-- after it is refused by itself then, and who is told so does not send its wraps again; they are bounded.
local K, ID, EPOCH, HOLDS = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local R = D .. 'room:' .. K .. ':'
local s = held('r:' .. K, 'p:' .. K, 'h:' .. K, 'holds')
if not s then return {'FENCED'} end
local before = N .. ':' .. digits(HOLDS - 1)
if HOLDS ~= '1' and s[8] ~= before and s[8] ~= N .. ':' .. HOLDS then return {'SKIPPED'} end
local H, epoch = R .. 'h:' .. ID, tonumber(EPOCH)
local last_epoch, last_n = string.match(s[6] or '', '^(%d+):(%d+)$')
last_epoch, last_n = tonumber(last_epoch or 0), tonumber(last_n or 0)
local given = call('HGET', R .. 'w:' .. ID, 'epoch') or 0
local latest = math.max(last_epoch, tonumber(s[7] or 0), tonumber(given))
local state_until = call('HGET', R .. 'state', 'until')
if state_until and s[5] == ID and epoch >= latest then
  if s[7] and s[7] ~= EPOCH then call('DEL', H) end
  local tos, rests, seen = {}, {}, {[ID] = true}
  for i = 12, #ARGV, 3 do -- not for a number that was posted already, nor for oneself
    local to = ARGV[i]
    if not seen[to] and (epoch > last_epoch or tonumber(ARGV[i + 1]) > last_n) then
      seen[to] = true
      tos[#tos + 1], rests[#rests + 1] = to, ARGV[i + 2]
    end
  end
  local members = tos[1] and call('HMGET', R .. 'members', unpack(tos)) or {}
  local kept = {}
  for i = 1, #members do
    local joined = members[i] and string.match(members[i], '^%d+')
    if joined then -- what is held is of no use once its recipient has begun anew
      local before = s[7] == EPOCH and call('HGET', H, tos[i]) or ''
      if string.match(before, '^%d+') ~= joined then
        kept[#kept + 1], kept[#kept + 2] = tos[i], joined .. ':' .. rests[i]
      end
    end
  end
  if kept[1] and call('HLEN', H) < 2 * ROOM_MEMBERS then
    call('HSET', H, unpack(kept))
    call('PEXPIREAT', H, state_until)
  end
  call('HSET', S, 'h:' .. K, EPOCH)
end
call('HSET', S, 'holds', N .. ':' .. HOLDS)
return {'OK'}
