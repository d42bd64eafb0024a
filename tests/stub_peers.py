"""As little of IRC and MQTT over TLS as the load's guests need, for where no such server is.

    python -m tests.stub_peers CERTIFICATE irc|mqtt

It prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys

rooms: dict[bytes, set[asyncio.StreamWriter]] = {}


async def irc(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client of IRC; what is said goes to all others in the channel."""
    nick = b""
    while line := await reader.readline():
        word, _, rest = line.rstrip(b"\r\n").partition(b" ")
        if word == b"NICK":
            nick = rest
        elif word == b"USER":
            writer.write(b":stub 376 %s :End\r\n" % nick)
        elif word == b"JOIN":
            here = rooms.setdefault(rest, set())
            here.add(writer)
            for each in here:
                each.write(b":%s!~bench@stub JOIN :%s\r\n" % (nick, rest))
            writer.write(b":stub 366 %s %s :End\r\n" % (nick, rest))
        elif word == b"PRIVMSG":
            for each in rooms[rest.partition(b" ")[0]] - {writer}:
                each.write(b":%s!~bench@stub %s" % (nick, line))


async def mqtt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client of MQTT; what is published goes to all who have subscribed."""
    while head := await reader.readexactly(1):
        size = shift = 0
        lengths = b""
        while not lengths or lengths[-1] & 0x80:
            lengths += await reader.readexactly(1)
            size |= (lengths[-1] & 0x7F) << shift
            shift += 7
        body = await reader.readexactly(size)
        if head == b"\x10":
            assert body.startswith(b"\x00\x04MQTT\x04\x02"), body
            writer.write(b"\x20\x02\x00\x00")
        elif head == b"\x82":
            rooms.setdefault(_string(body[2:]), set()).add(writer)
            writer.write(b"\x90\x03" + body[:2] + b"\x00")
        elif head == b"\x30":
            for each in rooms[_string(body)]:
                each.write(head + lengths + body)


def _string(data: bytes) -> bytes:
    return data[2 : 2 + int.from_bytes(data[:2], "big")]


async def main(certificate: str, dialect: str) -> None:
    """Serve until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    talk = {"irc": irc, "mqtt": mqtt}[dialect]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
