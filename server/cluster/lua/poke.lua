#!lua flags=allow-oom
-- with: digits epoch node wake
-- poke(room): this node looks at that room's log. OK.
tell(NODE, 'r', ARGV[5])
return {'OK'}
