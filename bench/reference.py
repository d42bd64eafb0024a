"""The reference: what a Python user would write instead, and what all figures are compared with.

    python -m bench.reference CERTIFICATE

Rooms by path; whatever one says, everybody in the room gets, over TLS and with no encryption
beyond it.  No names, passwords, order, history or limits.  It prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys

from websockets import ConnectionClosed
from websockets.asyncio.server import ServerConnection, broadcast, serve

rooms: dict[str, set[ServerConnection]] = {}


async def chat(connection: ServerConnection) -> None:
    """One connection, from its beginning to its end."""
    assert connection.request is not None
    room = rooms.setdefault(connection.request.path, set())
    room.add(connection)
    try:
        with contextlib.suppress(ConnectionClosed):  # who goes without a word is no error here
            async for text in connection:
                broadcast(room, text)
    finally:
        room.discard(connection)


async def main(certificate: str) -> None:
    """Serve until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # Without pings, which CMD CHAT's side of a measurement does not have either.
    async with serve(
        chat, "127.0.0.1", 0, ssl=context, ping_interval=None, backlog=1024
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
