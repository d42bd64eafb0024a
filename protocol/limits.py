"""Numbers of the specification, then numbers of this implementation.

The first block is on the wire: both sides must agree, and ``docs/PROTOCOL.md`` cites it.  The
second may differ between two programs that still understand each other.  Sizes are in bytes,
times in seconds.
"""

from __future__ import annotations

# Specification

VERSION = 2
NONCE_BYTES = 16
LOG_ID_BYTES = 16
POST_ID_BYTES = 16
SHARE_BYTES = 32  # a CPace share, and a scalar
TOKEN_ID_BYTES, TOKEN_SECRET_BYTES = 12, 32

NICK_CHARS = 32
ROOM_CHARS = 64
ANNOUNCEMENT_CHARS = 1000  # a line that somebody types at the server
ROOMS_OF_ONE = 16  # that a client is in at once
ROOM_MEMBERS = 256  # bounds rosters and the wraps of one epoch

RECORD_PAD = 256  # records are padded to a multiple of this
RECORD_BYTES = 64 * 1024  # a record is smaller, or carries one frame
HANDSHAKE_BYTES = 16 * 1024  # a frame in clear
STRIKES = 3  # refused frames before the connection is closed
SEEN_BYTES = 512 * 1024  # received since the last ``seen``: time for the next

EPOCH_POSTS = 1000  # posts of one chain, and the farthest that a reader advances it
CHANGES_BEHIND = 64  # how old a post's ``change`` may be, counted in changes
TRANSCRIPT_POSTS = 4096  # public posts remembered of one ``change``
PAD_FROM = 64  # a plaintext is padded to a power of two, from here on

COUNTER_MAX = 2**53 - 1  # what JSON numbers of other languages still hold exactly

# Implementation

SLICE_BYTES = 40 * 1024  # larger records save hardly anything more (docs/PERFORMANCE.md)
LOG_ENTRIES = 4096
LOG_BYTES = 8 * 1024 * 1024
PRIVATE_BYTES = 1024 * 1024  # private posts waiting for one member, and
PRIVATE_BYTES_OF_ONE = 512 * 1024  # of one sender among them
CHAIN_BYTES = 2 * 1024 * 1024  # wrapped chains waiting for one member: of a thousand posts
FRAMES_IN_RECORD = 1024
VALUES_IN_RECORD = 32768  # commas, "[" and "{": eight for each entry of the longest log frame
