#!lua
-- with: digits epoch node time wake log change counts stays looks leaving state tables entering newcomers
-- come_in(FP, once, ticket, room, name, log id, nick JSON, bundle, most rooms, roster, known, bans, nick, token,
-- pinned, group, sign, most, look…): `let_in`, `enter` and the ticket of one who comes in anew, in one step and with one note
-- to each node. OK n version id joined number log name seq first roster; version is that of the tickets, 0 when it
-- comes again / as let_in / BANS: as in `look` / NO_PLACE: nothing was done.
local BANS = ARGV[16]
if BANS ~= '' and (call('HGET', D .. 't:version', 'bans') or '0') ~= BANS then return {'BANS'} end
read_newcomer(17)
local before, found = made_before('r:' .. K)
if before then
  local inside = is_there and found and call('HGET', R .. 'members', found)
  if not inside then return {'AGAIN'} end -- it was broken off, or has ended
  return {'OK', before, 0, found, string.match(inside, '^%d+'), described(R, ROSTER)}
end
if found then return found end
if no_place() then return {'NO_PLACE'} end
local n = make_session()
local id, seq, spared = take_place(FP, '0')
local version, note = set_field('tickets', FP, ARGV[7])
local is_here = {}
for _, node in ipairs(call('HKEYS', R .. 'nodes')) do is_here[node] = true end
for _, node in ipairs(call('SMEMBERS', D .. 'nodes')) do
  if node == NODE then
    if not spared then tell(node, 'r', K) end
  elseif is_here[node] then
    tell(node, 'r', K, 't', note)
  else
    tell(node, 't', note)
  end
end
return {'OK', n, version, id, seq, described(R, ROSTER)}
