"""The connection to the server: dialled, kept alive, lost, and come back to.

``connection`` has the reader thread and is what the rest of the client talks to. ``handshake``
goes from dialling to `welcome`, ``standby`` is a second connection tried while the first one
says nothing. What is decided is decided by pure parts: ``silence``, ``heartbeat``,
``deadlines``, ``goodbyes``, ``guesses``, ``backoff``, and ``outcome``, which says whether an
end is the end of it all.
"""
