-- How many members of a room are connected at a node. Beside a node's number may stand its mark: see `wake`.
local function count(R, node)
  if call('HINCRBY', R .. 'nodes', node, 1) == 1 then keep(R .. 'nodes') end
end
local function uncount(R, node)
  if node ~= '' and call('HINCRBY', R .. 'nodes', node, -1) <= 0 then
    call('HDEL', R .. 'nodes', node, node .. '!')
  end
end
