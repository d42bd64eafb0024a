#!lua flags=allow-oom
-- with: digits time
-- register(lease ms, key, mac, limits): become a node; the first one begins an epoch, ARGV[2].
-- OK epoch fresh / KEY key: with that one, please / CHANGED format, password or limits, and whether one of those
-- that are there has a lease.
-- Where no node is left whatever there was is over: it stands under another epoch, and expires.
local call = redis.call
local P, EPOCH, NODE = ARGV[1], ARGV[2], ARGV[3]
local LEASE, KEY, MAC, LIMITS = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local FORMAT = '2'
local format = call('GET', P .. 'format')
local epoch = call('GET', P .. 'epoch')
local function changed(what)
  local alive = 0
  for _, node in ipairs(epoch and call('SMEMBERS', P .. epoch .. ':nodes') or {}) do
    alive = math.max(alive, call('EXISTS', P .. epoch .. ':node:' .. node))
  end
  return {'CHANGED', what, alive}
end
if format and format ~= FORMAT then return changed('format') end
local policy = call('HMGET', P .. 'policy', 'key', 'mac', 'limits')
if epoch and policy[1] and call('SCARD', P .. epoch .. ':nodes') > 0 then
  if policy[1] ~= KEY then return {'KEY', policy[1]} end
  if policy[2] ~= MAC then return changed('password') end
  if policy[3] ~= LIMITS then return changed('limits') end
else
  epoch = EPOCH
  call('SET', P .. 'format', FORMAT)
  call('HSET', P .. 'policy', 'key', KEY, 'mac', MAC, 'limits', LIMITS,
    'run', string.match(call('INFO', 'server'), 'run_id:(%x+)') or '')
  call('HSET', P .. epoch .. ':numbers', 'by', NODE)
  call('SET', P .. 'epoch', epoch)
end
local D = P .. epoch .. ':'
call('SET', D .. 'node:' .. NODE, '1', 'PX', LEASE)
if call('EXISTS', D .. 'wake:' .. NODE) == 0 then
  call('XADD', D .. 'wake:' .. NODE, '1-1', 'h', '1')
end
call('SADD', D .. 'nodes', NODE)
for _, key in ipairs({P .. 'format', P .. 'policy', P .. 'epoch', D .. 'numbers', D .. 'nodes',
    D .. 'wake:' .. NODE}) do
  keep(key)
end
return {'OK', epoch, call('HGET', D .. 'numbers', 'by') == NODE and 1 or 0}
