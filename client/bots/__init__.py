"""``connect --on-message``: a program that is run for each message, and whose output is the answer.

``Responder`` decides which messages, one at a time, and what becomes of each; ``posix`` and
``windows`` run one program once, in a process group (or job) of its own that ends with it.  What
others send reaches such a program on its standard input alone: no shell reads it, and it is no
part of the command line.
"""
