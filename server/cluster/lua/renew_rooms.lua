#!lua flags=allow-oom
-- with: digits epoch node time wake log change counts leaving keeping
-- renew_rooms(keep ms, room, number, …): renew them; what is older than that goes from their logs. Heals
-- what a script that was broken off has left: where anything is wrong a number of the log is left out, so
-- that all nodes begin anew there. OK room…: those that are gone, or others by now.
local KEEP = ARGV[5]
local function renewed(room, number)
  local R = D .. 'room:' .. room .. ':'
  local state = call('HMGET', R .. 'state', 'number', 'seq', 'mseq', 'bytes')
  if not state[1] then drop_room(R, room) end
  if state[1] ~= number then return false end
  local members, counts, ghosts = call('HGETALL', R .. 'members'), {}, {}
  for i = 1, #members, 2 do
    local id, fingerprint = members[i], string.match(members[i + 1], '^%d+:(%x+):')
    local found = call('HMGET', D .. 'fp:' .. fingerprint, 'r:' .. room, 'node')
    if found[1] ~= id then
      ghosts[#ghosts + 1] = id
    elseif found[2] ~= '' then
      counts[found[2]] = (counts[found[2]] or 0) + 1
    end
  end
  local known = call('HGETALL', R .. 'nodes')
  for i = 1, #known, 2 do
    if not counts[known[i]] then call('HDEL', R .. 'nodes', known[i]) end
  end
  for node, many in pairs(counts) do call('HSET', R .. 'nodes', node, many) end
  if call('HLEN', R .. 'bundles') ~= #members / 2 then
    for _, id in ipairs(call('HKEYS', R .. 'bundles')) do
      if call('HEXISTS', R .. 'members', id) == 0 then call('HDEL', R .. 'bundles', id) end
    end
  end
  if not members[1] then drop_room(R, room) end
  if ghosts[1] then begin_anew(R) end
  for i = 1, #ghosts do leave_room(D .. 'fp:', '', room, ghosts[i]) end
  if call('EXISTS', R .. 'state') == 0 then return false end
  if not ghosts[1] and state[2] ~= state[3] then set_mark(R, state[2], state[4], UNTIL) end
  local gone
  for _ = 1, 256 do
    local first = call('LINDEX', R .. 'marks', 0)
    if not first or NOW - string.match(first, '^%d+') <= tonumber(KEEP) then break end
    gone = call('LPOP', R .. 'marks')
  end
  if gone then trim(R, gone) end
  call('ZADD', D .. 'rooms', 0, room)
  keep_room(R)
  return true
end
local reply = {'OK'}
for i = 6, #ARGV, 2 do
  if not renewed(ARGV[i], ARGV[i + 1]) then reply[#reply + 1] = ARGV[i] end
end
return reply
