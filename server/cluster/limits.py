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
