"""The client: what one person's machine knows and shows.

``connection`` talks to the server, ``session`` knows the room, ``encryption`` holds its keys,
``commands`` understands typed lines, ``history`` remembers if asked to. They know nothing about
how things look: they emit events (``events``), and ``output`` or ``fullscreen`` draws them.
``input`` is what is typed; ``console`` puts screen and input together, and ``app`` everything.
"""
