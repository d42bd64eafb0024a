"""The client: what one person's machine knows and shows.

``connection`` talks to the server, ``session`` knows the room, ``sealing`` holds its keys,
``commands`` understands typed lines, ``console`` draws. The connection and the keys know
nothing about how things look: they emit events (``events``), and a renderer draws them.
"""
