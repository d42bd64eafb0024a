"""The pure core: bytes and text in, frames and events out.

What goes over the wire is decided here and nowhere else: names, frames, keys, the password
proof and the sealed link. Nothing in this package opens a socket, starts a thread, reads a
clock or a file, or prints, so that both sides of a conversation can be tested by handing
strings from one object to another. ``docs/PROTOCOL.md`` is its specification.
"""
