-- Tell a node to look at something. Its stream was made when it registered: never by this.
local function tell(node, ...)
  call('XADD', D .. 'wake:' .. node, 'NOMKSTREAM', 'MAXLEN', '~', 4096, '1-*', ...)
end
-- Tell all nodes that have members in a room, but `spared` and those that have not read it since they were told last
-- (reader.py takes that mark away before it reads); R is what its keys begin with.
local function wake(R, room, spared)
  local known, told = call('HKEYS', R .. 'nodes'), {}
  for i = 1, #known do told[known[i]] = true end
  for i = 1, #known do
    local node = known[i]
    local mark = node .. '!'
    if node ~= spared and not told[mark] and string.byte(node, -1) ~= 33 then
      tell(node, 'r', room)
      call('HSET', R .. 'nodes', mark, 1)
    end
  end
end
