#!lua flags=no-writes
-- with: digits epoch node time
-- read_table(name, all): OK version ms, and with all = 1 [field value …].
local items = {}
if ARGV[6] == '1' then items = call('HGETALL', D .. 't:' .. ARGV[5]) end
return {'OK', call('HGET', D .. 't:version', ARGV[5]) or 0, digits(NOW), items}
