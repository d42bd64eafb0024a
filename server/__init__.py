"""The server: it lets people in, numbers what they post, and hands it on.

It knows who is connected, under which nickname and in which room, and carries sealed boxes
that it has no key for. Everything is in memory and gone with the process. ``app`` puts the
parts together; ``docs/DESIGN.md`` has the ledger of its threads and locks.
"""
