"""Every bound of the server that is not on the wire, each with its reason.

Sizes are in bytes, times in seconds.  Whatever a stranger can make grow has a line here.
"""

from __future__ import annotations

from protocol.limits import ROOMS_OF_ONE

# One thread and some 50 KB for each: what one process is meant for (docs/PERFORMANCE.md).
CONNECTIONS = 4096
# Of each connection its socket and what wakes its thread (two more where there is no eventfd),
# and those of the process itself.
DESCRIPTORS = 3 * CONNECTIONS + 256
# One household or one company behind one address, and a stranger cannot take every place.
CONNECTIONS_OF_ADDRESS = 512
# Who has proven nothing yet must not keep anybody out: beyond these, of an address and in all,
# the oldest goes, of the address that has most.  A login takes a fraction of a second.
UNPROVEN_OF_ADDRESS = 256
UNPROVEN = 1024
# Beside CONNECTIONS: those that had to make room, until their threads have noticed.
LEAVING = 256

# The TLS handshake, request line, headers and form together; a person's browser takes 0.1 s.
REQUEST_SECONDS = 10.0
# A PROXY header, which a trusted proxy sends at once; its bytes are bounded in
# `transport.proxy_header`.
PROXY_HEADER_SECONDS = 5.0
# From the greeting to `confirm`, not counting the wait for being judged.
HANDSHAKE_SECONDS = 10.0
# The longest WebSocket message before a proof: enough to be told that a frame is too big.
STRANGER_BYTES = 64 * 1024
# How long a stranger is kept waiting that sent nothing but frames that say nothing, and how much
# of it is taken meanwhile, to see whether it goes by itself.
FLOODER_SECONDS = 5.0
FLOODER_BYTES = 256 * 1024
HEADER_BYTES = 16 * 1024
# After an answer, for what the client still sends: closing on it would take the answer back.
LINGER_SECONDS = 2.0
FORM_BYTES = 8 * 1024

# Wrong guesses that are judged: of one address (or /64), and in all; a /48 has twice an address's.
# Typing mistakes are few and answered at once; 2 a second are 63 million a year, and a good
# password has 10^15 and more.
GUESSES_A_SECOND = 2.0
GUESS_BURST = 8.0
GUESSES_OF_ALL_A_SECOND = 20.0
GUESS_BURST_OF_ALL = 60.0
FREE_FAILURES = 3
# Fewer wrong proofs of an address are answered than are judged, so that the budget fills up while
# guessers wait for their answers.
ANSWERS_A_SECOND = 1.6
# Nobody waits longer, for an answer or for being judged.  Both alike: whoever were sent away
# earlier would come anew, and always be the newest.
PATIENCE = 60.0
# Handshakes that came to nothing after `key`: RSA and HPKE for it cost a millisecond or two.
HANDSHAKES_A_SECOND = 20.0
HANDSHAKE_BURST = 128.0
HANDSHAKES_OF_ALL_A_SECOND = 100.0
HANDSHAKE_BURST_OF_ALL = 512.0
# Tickets with which members come back past those who wait: as many as may be connected. Each
# handshake that shows one costs a hash (a microsecond) of each that there is.
TICKETS_OF_ADDRESS = CONNECTIONS_OF_ADDRESS
TICKETS = CONNECTIONS
# When full buckets are looked for: a little after the slowest one fills.
FORGET_SECONDS = HANDSHAKE_BURST / HANDSHAKES_A_SECOND + 1.0
# Buckets of each kind; beyond it the least recently used is forgotten.
ADDRESSES = 16384

# Members and their nicknames, those included that may come back: somebody who comes again and
# again under other keys leaves one each time, until its grace is over.
SESSIONS = 2 * CONNECTIONS
# Four addresses' worth: each of 512 connections may be in 16. An empty one takes some 3 KB.
ROOMS = 4 * ROOMS_OF_ONE * CONNECTIONS_OF_ADDRESS
TOKENS = 1024
# Of those, how many members may have asked for: there is always room for whoever runs the server.
# A person invites a few at a time; behind one address there may be an office.
INVITES_OF_ONE, INVITES_OF_ADDRESS, INVITES = 8, 64, 256
INVITE_SECONDS = 7 * 24 * 3600.0  # to use the link, and then to come and go
# Identities whose place another one has taken with the same token, and that must not take it
# back by themselves: more than come back at once. Of more, the oldest is forgotten first.
TAKEN_OVER = 1024
# Identities and addresses that were shown the door: more than anybody types. The oldest goes first.
BANS = 1024
# A line of whoever runs the server, in bytes; more of it is not read.
CONSOLE_BYTES = 4096
# A member's answers that are kept for a `ref` that comes again: more than a client has open.
ANSWERS = 256
# Sliding windows kept at once; the table drops those that are empty first.
WINDOWS = 32768
# How many identities' posts (or commands) one address may use, each to the full: people share
# addresses. Beyond, those who have used most are refused first.
ADDRESS_SHARE = 30
# New members that one address brings before those of them are refused that come again and again:
# ten a second, and more than a room takes at once. One that comes for the first time is let in.
JOINS_OF_ADDRESS = 600
JOINS_SECONDS = 60.0
# Refusals and repeated answers for one member in so many seconds: more than come of its lines
# under way, even if it loses its connection again and again.  Beyond, they are strikes.
REFUSALS = 1024
REFUSALS_SECONDS = 10.0

# Changes of one room: a round trip of two seconds sees no more than a post may be behind, and a
# full room may come at once.  Whoever would wait for longer is sent away; what is too short to be
# noticed is not told.
CHANGES_A_SECOND = 30.0
CHANGE_BURST = 256.0
CHANGE_PATIENCE = 20.0
CHANGE_WAIT_TOLD = 0.5

# What a member may cost, counted in bytes that are read and opened (transport/token_bucket.py): a
# second, and at once. Eight of them who flood take a tenth of a processor.
WORK_A_SECOND = 256 * 1024.0
WORK_BURST = 1024 * 1024.0

# When there may be room again in the queue of a member that reads: its client confirms what it
# got after half a megabyte, or as often as it beats.
QUEUE_SECONDS = 10.0

# After a room has heard of somebody who came, those who come next are told of together: a record
# for each member is half of what coming into a large room costs (docs/PERFORMANCE.md).
JOINS_SHARE_SECONDS = 0.05

SWITCH_SECONDS = 0.05
# After each upgrade that came to nothing, for threads that wait for the interpreter. Whoever comes
# back from the system at once keeps it, however often it lets go of it: members would wait for
# SWITCH_SECONDS where strangers come without end.
BREATH_SECONDS = 0.0003
# One for rooms of up to so many members, whose rounds take a millisecond or two, the others for
# larger ones, whose rounds take up to thirty.
BROADCASTERS = 3
SMALL_ROOM = 32
# Threads that wait for connections; as many more as there are strangers come and go.
ACCEPTORS = 4
# Rosters are sent in frames of about this size.
ROSTER_BYTES = 40 * 1024
# Rooms named in one answer to `list_rooms`.
ROOMS_LISTED = 512

# Stopping: for the frames that are being handled, then for members to get what was accepted,
# and the reason; then they are cut.
STOP_QUIET_SECONDS = 0.5
STOP_POLITE_SECONDS = 2.5
STOP_SECONDS = 4.0

# How far a budget goes into debt by what was spent elsewhere meanwhile, in bursts: of several
# servers each may have given one away (server/cluster).
CHARGED_DEBT = 64
