"""Subcommands for scripts: ``send``, ``tail`` and ``wait``, each one visit without a screen.

They hold a session and a connection as ``connect`` does. Events come to the main thread, which
decides what to do: what has become of a text (``delivery``), whether a message is the one that is
waited for (``wanted``), how it is printed (``printing``).
"""
