-- ARGV 5 and 6: a session's fingerprint and its n. Requests have a ref, which is taken once.
local FP, N = ARGV[5], ARGV[6]
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
