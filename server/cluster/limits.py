"""Every bound and time of a node of several that share an engine, each with its reason.

Sizes are in bytes, times in seconds.  Whoever needs one reads it here when it is needed: tests
have shorter ones.
"""

from __future__ import annotations

from server.limits import CONNECTIONS, CONNECTIONS_OF_ADDRESS

# Calls that wait for the engine: more than there are members that wait for an answer each, and
# those whose lines come in a burst.
ENGINE_CALLS = 2 * CONNECTIONS
ENGINE_BYTES = 32 * 1024 * 1024
# One batch: from here on the engine's time for each call falls no further, and what others wait
# for behind it is a few milliseconds.
ENGINE_BATCH = 64
ENGINE_BATCH_BYTES = 1024 * 1024
# For a connection, and for each step of logging in.
ENGINE_CONNECT_SECONDS = 2.0
# For each reply, or piece of it: an engine that is there answers in milliseconds.
ENGINE_REPLY_SECONDS = 2.0
# How long a call waits that was never sent: people wait for their line's answer, and can send it
# again. One that was sent may have been done; of that it is better to know, within reason.
ENGINE_SECONDS = 5.0
ENGINE_UNKNOWN_SECONDS = 20.0
# What somebody is told who was sent away because the engine is.
ENGINE_RETRY_SECONDS = 5.0
# Between two tries to reach it: at first, at most, and where it did not take the password.
ENGINE_PAUSE = 0.05
ENGINE_PAUSE_MOST = 1.0
ENGINE_LOGIN_PAUSE = 30.0
ENGINE_STOP_SECONDS = 2.0

# Tickets in all, as many as four full servers have: a `hello` that shows one costs 8 ms of hashes
# then (with 40,000 it would be 23). Whoever has lost one waits like a stranger, no more.
TICKETS = 4 * CONNECTIONS
TICKETS_OF_ADDRESS = 4 * CONNECTIONS_OF_ADDRESS
# How often a change of a table is decided again, because another server's came in between.
TABLE_TRIES = 64
# Notes of a table that wait for the answer to an own change before them; of more, all is read.
TABLE_HELD = 64
# How long somebody waits to be told of a change that the engine has, before the table is read.
TABLE_SECONDS = 0.2
# What is spent is told this late at most; of so many addresses and identities at a time, which is
# ten thousand posts a second. A server that comes later reads what was told for so long.
LEDGER_SECONDS = 0.1
LEDGER_KEYS = 1024
LEDGER_WINDOW = 120.0
# Those whose last telling is remembered; more nodes than one engine carries, by far.
LEDGER_NODES = 1024
# What an empty engine has forgotten is put back by one node; this long the others wait for it, and
# look so often.
RESTORE_SECONDS = 5.0
RESTORE_LOOK = 0.05

# The reader waits for so long, and then sees whether the engine still has what it had: so long an
# engine that has forgotten everything goes unnoticed. The answer may take a little longer.
READER_BLOCK_SECONDS = 1.0
READER_REPLY_SECONDS = READER_BLOCK_SECONDS + ENGINE_REPLY_SECONDS
# What one look takes: of the node's own stream, of each log, and of each private stream; and how
# many streams. What is longer is read in turns, so no room holds up all others.
WAKES_AT_ONCE = 512
ENTRIES_AT_ONCE = 64
PRIVATE_AT_ONCE = 256
STREAMS_AT_ONCE = 32
# What was spent, at the start: all that there is.
SPENT_AT_ONCE = 8192
# How long somebody waits for who is making the mirror of a room.
ROOM_SECONDS = 10.0

# Rooms without a mirror whose changes are counted here still: so many somebody would have to come
# into before one of them is forgotten.
ROOM_PLACES = 4096

# Sessions.  Posts of one client that wait for their answers: nothing more is read of it then.
UNANSWERED_POSTS = 256
UNANSWERED_BYTES = 4 * 1024 * 1024
# How often something is tried again that others have changed in between.
TRIES = 8
# From the script that lets somebody in until its entry has come by the log: milliseconds, if all
# is well; and what somebody who says goodbye waits for until the engine knows.
ARRIVE_SECONDS = 10.0
GOODBYE_SECONDS = 1.0
# Entries of a stream that are asked for at once: 8 MiB in pieces of the largest posts.
RANGE_ENTRIES = 256

# The node.  Its lease, and how often that is renewed; the engine's script has milliseconds.
LEASE_SECONDS = 10.0
NODE_RENEW_SECONDS = 2.0
# Answers that come no later than this after each other are an engine without a break.
NODE_BREAK_SECONDS = 3.0
# Without an answer for so long nobody is let in, and whoever comes is told so at once.
NODE_TOUCH_SECONDS = 5.0
# While an answer is late, how often the node's thread looks what the time is; and its least pause.
NODE_LOOK_SECONDS = 0.5
NODE_LEAST_SECONDS = 0.05
# Before a fenced node registers again: at first, and at most.
NODE_PAUSE = 0.25
NODE_PAUSE_MOST = 10.0
# What is renewed so that it does not expire, and how much goes into one script.
NODE_MINUTE = 60.0
ROOMS_RENEWED = 16
SESSIONS_RENEWED = 64
NODE_STOP_SECONDS = 2.0
# What is said again when the engine is back: whose connections have ended meanwhile, each once, and
# tokens that were revoked. Of what is forgotten of it, a session stays until its keys expire.
NODE_UNSAID = 2 * CONNECTIONS
# How long keys stay that nobody renews: some of those minutes, and a session's grace.
TTL_SECONDS = 240.0
TTL_BEYOND_GRACE = 60.0
# A room's log is forgotten after two graces, and what a slow way back takes.
KEEP_BEYOND_GRACES = 60.0
# Of the password's hash that the engine has: 2^17 steps and 128 MiB for each guess.
POLICY_SCRYPT = 17

# What the console lists, of sessions and of rooms: a terminal keeps hardly more lines. Of more
# sessions it is any.
CONSOLE_LINES = 1000
