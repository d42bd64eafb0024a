-- Renew what belongs to a session, at one time for all of it; to a room likewise.
local function keep_room(R)
  if call('EXISTS', R .. 'state') == 0 then return end
  call('HSET', R .. 'state', 'until', UNTIL)
  for _, what in ipairs({'state', 'log', 'members', 'bundles', 'nodes', 'changes', 'marks'}) do
    keep(R .. what)
  end
end
local function keep_session(fingerprint, found, rooms)
  local key = D .. 'fp:' .. fingerprint
  call('HSET', key, 'until', UNTIL)
  keep(key)
  keep(key .. ':answers')
  for look in string.gmatch(found.looks or '', '[^\n]+') do keep(D .. 'look:' .. look) end
  if found.token ~= '' then keep(D .. 'token-of:' .. found.token) end
  for i = 1, #rooms do
    local R, id = D .. 'room:' .. rooms[i] .. ':', found['r:' .. rooms[i]]
    keep(R .. 'p:' .. id)
    keep(R .. 'q:' .. id)
    keep(R .. 'w:' .. id)
    keep(R .. 'h:' .. id)
  end
end
