#!lua flags=allow-oom
-- with: digits epoch node time wake tables
-- table(name, field, value, version or -1, expect): change a replicated table, and tell all others: OK version (0 if
-- nothing was there to be removed). Only at that version and, where `expect` is = and a value, while that stands
-- there: else CHANGED version.
local NAME, FIELD, VALUE, VERSION, EXPECT = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local version = call('HGET', D .. 't:version', NAME) or '0'
local known = call('HGET', D .. 't:' .. NAME, FIELD) or ''
if VERSION ~= '-1' and version ~= VERSION then return {'CHANGED', version} end
if EXPECT ~= '' and '=' .. known ~= EXPECT then return {'CHANGED', version} end
if VALUE == '' and known == '' then return {'OK', 0} end
return {'OK', change_table(NAME, FIELD, VALUE, NODE)}
