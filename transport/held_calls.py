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
from typing import Any

# Beyond this the system has so much to copy that another thread had better run meanwhile.
HELD_BYTES = 4096
_BUFFER_BYTES = 16 * 1024


def _c_library() -> Any:
    """ctypes and the C library; None where there is none, or no lock to hold on to."""
    if os.name != "posix" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    try:
        import ctypes

        library = ctypes.PyDLL(None, use_errno=True)
        for call, data in ((library.send, ctypes.c_char_p), (library.recv, ctypes.c_void_p)):
            call.argtypes = (ctypes.c_int, data, ctypes.c_size_t, ctypes.c_int)
            call.restype = ctypes.c_ssize_t
    except (ImportError, OSError, AttributeError):  # a Python without ctypes, or a static one
        return None
    return ctypes, library


_found = _c_library()
_buffers: deque[Any] = deque()  # of which each call takes one; as many as threads were here at once


def send(sock: socket.socket, data: bytes | bytearray | memoryview) -> int:
    """As ``sock.send(data)`` of a socket that does not block.  Raises OSError."""
    small = len(data) <= HELD_BYTES and isinstance(data, bytes)
    if _found is None or not small or type(sock) is not socket.socket:
        return sock.send(data)  # or what stands for a socket, as inside of a tunnel
    ctypes, library = _found
    sent: int = library.send(sock.fileno(), data, len(data), 0)
    if sent < 0:
        raise _error(ctypes.get_errno())
    return sent


def recv(sock: socket.socket, size: int) -> bytes:
    """As ``sock.recv(size)`` of a socket that does not block, or less.  Raises OSError."""
    if _found is None or type(sock) is not socket.socket:
        return sock.recv(size)
    ctypes, library = _found
    try:
        buffer = _buffers.pop()
    except IndexError:
        buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    try:
        count: int = library.recv(sock.fileno(), buffer, min(size, _BUFFER_BYTES), 0)
        if count < 0:
            raise _error(ctypes.get_errno())
        data: bytes = ctypes.string_at(buffer, count)
        return data
    finally:
        _buffers.append(buffer)


def _error(number: int) -> OSError:
    """Of the subclass that the number has, as BlockingIOError."""
    return OSError(number, os.strerror(number))
