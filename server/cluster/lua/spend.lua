#!lua
-- with: digits epoch node time
-- spend(data, keep ms): what was spent here, for all nodes; what is older than that goes. OK ms.
call('XADD', D .. 'ledger', 'MAXLEN', '~', 8192, '*', 'n', NODE, 'd', ARGV[5])
call('XTRIM', D .. 'ledger', 'MINID', '~', digits(NOW - ARGV[6]))
keep(D .. 'ledger')
return {'OK', digits(NOW)}
