-- ARGV 5 to 7: a session's fingerprint, its n, and the ref that a request comes after: what was asked for
-- before it. Requests have a ref, which is taken once.
local FP, N, AFTER = ARGV[5], ARGV[6], ARGV[7]
local S = D .. 'fp:' .. FP
-- n, node, taken, until and these fields of it; nil if it is another node's, or over.
local function held(...)
  local found = call('HMGET', S, 'n', 'node', 'taken', 'until', ...)
  if found[1] == N and found[2] == NODE then return found end
  return nil
end
-- What is said to a ref that was taken already.
local function again(ref)
  local kept = call('XRANGE', S .. ':answers', ref .. '-0', ref .. '-0')
  if not kept[1] then return {'REPEATED'} end
  return {'AGAIN', kept[1][2][2], call('HGET', S, 'm:' .. ref) or ''}
end
-- What a request gets instead of being done: what was said to its ref already, or SKIPPED where the one
-- before it was not done, so that none overtakes another that will come again.
local function not_now(s, ref)
  if tonumber(ref) <= tonumber(s[3]) then return again(ref) end
  if tonumber(AFTER) > tonumber(s[3]) then return {'SKIPPED'} end
  return nil
end
-- Keep the answer to a ref that is taken; `s` as `held` has it.
local function keep_answer(s, ref, encoded)
  call('XADD', S .. ':answers', 'MAXLEN', '=', ANSWERS, ref .. '-0', 'a', encoded)
  if s[3] == '0' then call('PEXPIREAT', S .. ':answers', s[4]) end
end
-- Take a ref and answer it; `word` is for the node.
local function answered(s, word, ref, seq, encoded)
  call('HSET', S, 'taken', ref)
  keep_answer(s, ref, encoded)
  return {word, seq, encoded}
end
local function accepted(ref, seq)
  if not seq then return '{"type":"accepted","ref":' .. ref .. '}' end
  return '{"type":"accepted","ref":' .. ref .. ',"seq":' .. seq .. '}'
end
local function refused(ref, code)
  return '{"type":"refused","code":"' .. code .. '","ref":' .. ref .. '}'
end
