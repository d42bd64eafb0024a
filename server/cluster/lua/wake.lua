-- Tell a node to look at something. Its stream was made when it registered: never by this.
local function tell(node, ...)
  call('XADD', D .. 'wake:' .. node, 'NOMKSTREAM', 'MAXLEN', '~', 4096, '1-*', ...)
end
-- Tell all nodes that have members in a room, but `spared`; R is what its keys begin with.
local function wake(R, room, spared)
  local nodes = call('HKEYS', R .. 'nodes')
  for i = 1, #nodes do
    if nodes[i] ~= spared then tell(nodes[i], 'r', room) end
  end
end
