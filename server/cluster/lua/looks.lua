-- Whose these looks are, beside `own`: nil, or the answer that names them. A look whose session is gone is
-- nobody's.
local function taken_looks(looks, own)
  local nicks, seen, away, last = {}, {[own] = true}, 0, 0
  for i = 1, #looks do
    local other = call('GET', D .. 'look:' .. looks[i])
    if other and not seen[other] then
      seen[other] = true
      local found = call('HMGET', D .. 'fp:' .. other, 'nick', 'lost')
      if found[1] then
        nicks[#nicks + 1] = found[1]
        if found[2] ~= '' then
          away = away + 1
          last = math.max(last, tonumber(found[2]))
        end
      end
    end
  end
  if not nicks[1] then return nil end
  if away < #nicks then return {'TAKEN', 0, unpack(nicks)} end
  return {'LOST', math.max(NOW - last, 0), unpack(nicks)}
end
local function take_looks(looks, own)
  for i = 1, #looks do call('SET', D .. 'look:' .. looks[i], own, 'PXAT', UNTIL) end
end
