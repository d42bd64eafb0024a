"""Several servers that are one chat: what they share lies in an engine, Redis or Valkey.

Imported only where ``serve`` has a backend; ``engine`` is the one module that knows the client
library. ``docs/DESIGN.md`` says how the parts work together, ``docs/CLUSTER.md`` how to run it.
"""
