-- Change a field of a replicated table ('' removes it): its count of changes, and the note that says so.
local function set_field(name, field, value)
  local version = call('HINCRBY', D .. 't:version', name, 1)
  if value == '' then
    call('HDEL', D .. 't:' .. name, field)
  else
    call('HSET', D .. 't:' .. name, field, value)
  end
  keep(D .. 't:version')
  keep(D .. 't:' .. name)
  return version, name .. '\n' .. digits(version) .. '\n' .. field .. '\n' .. value
end
-- The same, and tell all nodes but `spared`.
local function change_table(name, field, value, spared)
  local version, note = set_field(name, field, value)
  local nodes = call('SMEMBERS', D .. 'nodes')
  for i = 1, #nodes do
    if nodes[i] ~= spared then tell(nodes[i], 't', note) end
  end
  return version
end
