-- The rooms of a session: what HGETALL said of it as a table, and the names of its rooms.
local function session_of(key)
  local flat, found, rooms = call('HGETALL', key), {}, {}
  for i = 1, #flat, 2 do
    found[flat[i]] = flat[i + 1]
    if string.sub(flat[i], 1, 2) == 'r:' then rooms[#rooms + 1] = string.sub(flat[i], 3) end
  end
  table.sort(rooms)
  return found, rooms
end
local function next_n() return digits(call('HINCRBY', D .. 'numbers', 'n', 1)) end
