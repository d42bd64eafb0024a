-- Change a field of a replicated table ('' removes it) and tell all nodes; its count of changes.
local function change_table(name, field, value)
  local version = call('HINCRBY', D .. 't:version', name, 1)
  if value == '' then
    call('HDEL', D .. 't:' .. name, field)
  else
    call('HSET', D .. 't:' .. name, field, value)
  end
  keep(D .. 't:version')
  keep(D .. 't:' .. name)
  local note = name .. '\n' .. digits(version) .. '\n' .. field .. '\n' .. value
  local nodes = call('SMEMBERS', D .. 'nodes')
  for i = 1, #nodes do tell(nodes[i], 't', note) end
  return version
end
