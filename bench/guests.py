"""Those who chat on other servers: clients of IRC and of MQTT, with the load's connections.

Both say the same 300 characters, the last of which are who says it and ``END``, a byte that
nothing else has in it which comes to them once they are inside: counting it counts posts.
"""

from __future__ import annotations

from bench.members import TEXT, Secrets, Talker
from bench.servers import Process
from bench.wire import Loop

SOURCE = "127.0.0.1"  # one for all: IRC says it with every post
END = b"|"


def text_by(mark: bytes) -> bytes:
    """What somebody says, as long as what members say."""
    return TEXT.encode()[len(mark) :] + mark


class Guest(Talker):
    """Somebody in one room of a server that is not ours.  A subclass says how it talks."""

    def __init__(
        self, loop: Loop, server: Process, _shared: Secrets, number: int, room: str
    ) -> None:
        self.nick, self.room = f"user{number:05}".encode(), room.encode()
        self.came = 0  # posts
        self._post = self.post(text_by(self.mark))
        assert self._post.count(END) == 1
        super().__init__(loop, server, "", SOURCE)

    most_bytes = 1 << 16  # of posts in one write, and so in one TLS record or a few

    def post(self, text: bytes) -> bytes:
        """What is sent for one post."""
        raise NotImplementedError

    def come_in(self, data: bytes) -> bool:
        """All that has come so far, in nobody's presence yet: whether one is inside now."""
        raise NotImplementedError

    @property
    def mark(self) -> bytes:
        return self.nick + END

    def feed(self, data: bytes) -> None:
        if not self.inside:
            self._rest += data
            self.inside = self.come_in(self._rest)
            if self.inside:
                self._rest = b""
            return
        self.came += data.count(END)
        if self.watched:
            data = self._rest + data
            whole = data.rfind(END) + 1
            self._rest = data[whole:]
            self._watch(data[:whole])

    def reached(self, goal: int) -> bool:
        return self.came + (0 if self.hears_itself else self.sent) >= goal

    def prepare(self, change: int) -> None:
        """Nothing has to be sealed."""

    def say(self, count: int) -> None:
        self.sent += count
        most = self.most_bytes // len(self._post)
        for start in range(0, count, most):
            self.write(self._post * min(most, count - start))


class IrcGuest(Guest):
    """A client of IRC (RFC 2812), in a channel.  Nobody is sent what they have said themselves."""

    hears_itself = False
    most_bytes = 2048  # in one piece: clients of IRC send a line at a time
    _asked = False  # for the channel

    def post(self, text: bytes) -> bytes:
        return b"PRIVMSG #%s :%s\r\n" % (self.room, text)

    def begin(self) -> None:
        self.write(b"NICK %s\r\nUSER bench 0 * :bench\r\n" % self.nick)

    def come_in(self, data: bytes) -> bool:
        registered = b" 376 " in data or b" 422 " in data  # the message of the day, or none
        if registered and not self._asked:
            self._asked = True
            self.write(b"JOIN #%s\r\n" % self.room)
        return b" 366 " in data  # the end of the names of those who are there


class MqttGuest(Guest):
    """A client of MQTT 3.1.1 that publishes to a topic, and has subscribed to it; QoS 0."""

    def post(self, text: bytes) -> bytes:
        return _packet(0x30, _string(self.room) + text)

    def begin(self) -> None:
        clean, keep_alive, number = b"\x02", bytes(2), b"\x00\x01"
        connect = _string(b"MQTT") + b"\x04" + clean + keep_alive + _string(self.nick)
        subscribe = number + _string(self.room) + b"\x00"
        self.write(_packet(0x10, connect) + _packet(0x82, subscribe))

    def come_in(self, data: bytes) -> bool:
        granted = b"\x20\x02\x00\x00" + b"\x90\x03\x00\x01\x00"  # CONNACK, SUBACK
        assert granted.startswith(data), f"not let in: {data.hex()}"
        return data == granted


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _packet(kind: int, body: bytes) -> bytes:
    """An MQTT packet: its length is written in groups of seven bits, the lowest first (2.2.3)."""
    left, head = len(body), bytearray((kind,))
    while left >= 0x80:
        head.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes(head) + bytes((left,)) + body
