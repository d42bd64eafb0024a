"""The connection to the server: dialled, kept alive, lost, and come back to.

``connection`` has the reader thread and is what the rest of the client talks to. ``handshake``
goes from dialling to the server's `key`, ``login`` from there to `welcome`; ``sending`` writes
records, ``liveness`` knows whether the server is there and answers, ``standby`` is a second
connection tried while the first one says nothing, ``reconnection`` comes back. What is decided is
decided by pure parts: ``silence``, ``heartbeat`` and ``deadlines`` for ``liveness``, ``backoff``
and ``circuit_breakers`` for ``reconnection``, and ``outcome``, which says whether an end is the
end of it all.
"""
