"""``send`` and ``recv`` of a socket that never waits, without letting go of the interpreter.

The socket module lets another thread run during each call, and then has to wait until that one
lets go again, though nothing here waits for the network.  Where many threads have something to do
that is two changes of threads for each call, and dearer than the call itself
(docs/PERFORMANCE.md).  ctypes' ``PyDLL`` calls the C library as it is.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from functools import partial
from typing import Any

# Beyond this the system has so much to copy that another thread had better run meanwhile.
HELD_BYTES = 16384
_BUFFER_BYTES = 16 * 1024
_Socket = socket.socket


def _c_library() -> Any:
    """The C library's two calls, and what makes a buffer for them; None where there are none, or
    no lock to hold on to."""
    if os.name != "posix" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    try:
        import ctypes

        library = ctypes.PyDLL(None)
        for call, data in ((library.send, ctypes.c_char_p), (library.recv, ctypes.c_void_p)):
            call.argtypes = (ctypes.c_int, data, ctypes.c_size_t, ctypes.c_int)
            call.restype = ctypes.c_ssize_t
    except (ImportError, OSError, AttributeError):  # a Python without ctypes, or a static one
        return None
    return library.send, library.recv, partial(ctypes.create_string_buffer, _BUFFER_BYTES)


_found = _c_library()
# A buffer, and how to read it, of which each call takes one; as many as threads were here at once.
_buffers: deque[tuple[Any, memoryview]] = deque()


def send(sock: socket.socket, data: bytes | bytearray | memoryview) -> int:
    """As ``sock.send(data)`` of a socket that does not block.  Raises OSError."""
    size = len(data)
    # What is no socket stands for one, as inside of a tunnel.
    if _found is None or size > HELD_BYTES or type(data) is not bytes or type(sock) is not _Socket:
        return sock.send(data)
    sent: int = _found[0](sock.fileno(), data, size, 0)
    return sent if sent >= 0 else sock.send(data)  # which raises, if that is still so


def recv(sock: socket.socket, size: int) -> bytes:
    """As ``sock.recv(size)`` of a socket that does not block, or less.  Raises OSError."""
    if _found is None or type(sock) is not _Socket:
        return sock.recv(size)
    try:
        pair = _buffers.pop()
    except IndexError:
        buffer = _found[2]()
        pair = buffer, memoryview(buffer)
    count: int = _found[1](sock.fileno(), pair[0], min(size, _BUFFER_BYTES), 0)
    data = bytes(pair[1][:count]) if count >= 0 else None
    _buffers.append(pair)
    return sock.recv(size) if data is None else data  # which raises, if there is still nothing
