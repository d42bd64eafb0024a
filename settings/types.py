"""Types of settings: how a value is written, and which ones are allowed.

Each type has one method, ``parse(text)``, which gives the value or raises ``ValueError`` with
what the value must be, in the user's language. An error never repeats the text.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import i18n
from i18n import _

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

KB, MB = 1024, 1024 * 1024


@dataclass(frozen=True)
class Text:
    """Any text that a terminal can show."""

    def parse(self, text: str) -> str:
        """The text, trimmed."""
        text = text.strip()
        if not text.isprintable():
            raise ValueError(_("it must not contain control characters"))
        return text


@dataclass(frozen=True)
class Secret:
    """Any text, kept as it is."""

    def parse(self, text: str) -> str:
        """The text."""
        return text


@dataclass(frozen=True)
class Host:
    """An IP address, in brackets or not, or a host name."""

    def parse(self, text: str) -> str:
        """The host, without brackets."""
        host = text.strip()
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        # Looked for ahead: between two repetitions it would take quadratic time.
        if re.fullmatch(r"(?=[\w.-]*?[^\W\d])[\w.-]+", host) or _is_address(host):
            return host
        raise ValueError(_("it must be a host name or an IP address, without http:// or a port"))


@dataclass(frozen=True)
class Address:
    """A host, and perhaps a port behind a colon; an IPv6 address with a port is in brackets."""

    def parse(self, text: str) -> tuple[str, int | None]:
        """Host and port; None where there is none."""
        host, colon, port = text.strip().rpartition(":")
        if not colon or _is_address(text.strip()) or text.strip().endswith("]"):
            return Host().parse(text), None
        try:
            return Host().parse(host), Integer(1, 65535).parse(port)
        except ValueError:
            sentence = _("it must be a host name or an IP address, perhaps with a port: host:1000")
            raise ValueError(sentence) from None


@dataclass(frozen=True)
class Networks:
    """IP addresses and networks, with commas or blanks between them."""

    def parse(self, text: str) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks; an address is one of its own."""
        import ipaddress

        try:
            return tuple(ipaddress.ip_network(each) for each in text.replace(",", " ").split())
        except ValueError:
            sentence = _(
                "it must be IP addresses and networks, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8"
            )
            raise ValueError(sentence) from None


@dataclass(frozen=True)
class UrlPath:
    """The path of a URL; a lone slash, like nothing, is none."""

    def parse(self, text: str) -> str:
        """The path, with a slash before each part and none at its end; "" for none."""
        path = text.strip().removesuffix("/")
        # Only what proxies pass on as it is, and nobody reads differently.
        if len(path) <= 200 and re.fullmatch(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*", path):
            return path
        raise ValueError(
            _(
                "it must be a path such as /chat: letters, digits and -._~, with a slash before "
                "each part"
            )
        )


@dataclass(frozen=True)
class Forms:
    """Where the forms for tokens are served: a word, or an address of their own."""

    def parse(self, text: str) -> str | tuple[str, int]:
        """``on``, ``off``, ``proxied`` (also through trusted proxies), or host and port."""
        word = text.strip().lower()
        if word == "proxied":
            return word
        with contextlib.suppress(ValueError):
            return "on" if Boolean().parse(word) else "off"
        host, _colon, port = text.strip().rpartition(":")
        try:
            return Host().parse(host), Integer(0, 65535).parse(port)
        except ValueError:
            sentence = _("it must be on, off, proxied, or an address and port such as {example}")
            raise ValueError(sentence.format(example="127.0.0.1:1001")) from None


@dataclass(frozen=True)
class Integer:
    """A whole number."""

    low: int
    high: int

    def parse(self, text: str) -> int:
        """The number."""
        if re.fullmatch(r"[0-9]{1,12}", text.strip()) and self.low <= int(text) <= self.high:
            return int(text)
        sentence = _("it must be a whole number from {low} to {high}")
        raise ValueError(sentence.format(low=self.low, high=self.high))


@dataclass(frozen=True)
class Seconds:
    """A time in seconds, decimals allowed."""

    low: float
    high: float

    def parse(self, text: str) -> float:
        """The number of seconds."""
        text = text.strip()
        if re.fullmatch(r"[0-9]{1,12}\.?[0-9]*|\.[0-9]+", text):
            if self.low <= float(text) <= self.high:
                return float(text)
        sentence = _("it must be a number of seconds from {low} to {high}")
        raise ValueError(sentence.format(low=self.low, high=self.high))


@dataclass(frozen=True)
class ByteSize:
    """A number of bytes, also as ``10KB`` or ``1MB``."""

    low: int
    high: int
    _units = {"": 1, "b": 1, "kb": KB, "mb": MB}

    def parse(self, text: str) -> int:
        """The number of bytes."""
        found = re.fullmatch(r"([0-9]{1,12})\s*([a-z]*)", text.strip().lower())
        if found and found[2] in self._units:
            size = int(found[1]) * self._units[found[2]]
            if self.low <= size <= self.high:
                return size
        sentence = _("it must be a size from {low} to {high}, such as 10KB, 1MB or 5000 (bytes)")
        raise ValueError(sentence.format(low=_size(self.low), high=_size(self.high)))


@dataclass(frozen=True)
class Boolean:
    """Yes or no."""

    _words = {
        **dict.fromkeys(("true", "yes", "on", "1"), True),
        **dict.fromkeys(("false", "no", "off", "0"), False),
    }

    def parse(self, text: str) -> bool:
        """The truth of the word."""
        try:
            return self._words[text.strip().lower()]
        except KeyError:
            sentence = _("it must be true or false (also yes and no, on and off, 1 and 0)")
            raise ValueError(sentence) from None


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def parse(self, text: str) -> str:
        """The word, in lower case."""
        word = text.strip().lower()
        if word in self.words:
            return word
        raise ValueError(_("it must be one of: {words}").format(words=", ".join(self.words)))


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 of a certificate, in hex, with or without colons."""

    def parse(self, text: str) -> str:
        """64 lower-case hex digits."""
        digits = re.sub(r"[\s:]", "", text).lower()
        if re.fullmatch(r"[0-9a-f]{64}", digits):
            return digits
        sentence = _("it must be the SHA-256 fingerprint of a certificate: 64 hex digits")
        raise ValueError(sentence)


@dataclass(frozen=True)
class Nickname:
    """A nickname by the protocol's rules."""

    def parse(self, text: str) -> str:
        """The nickname in its normal form."""
        from protocol.errors import ChatError
        from protocol.names import check_nick

        try:
            return check_nick(text.strip())
        except ChatError:
            sentence = _(
                "a nickname has 1 to 32 letters, digits, dots, dashes or underscores of one "
                "alphabet, and is none of the words that the program calls itself by"
            )
            raise ValueError(sentence) from None


@dataclass(frozen=True)
class RoomName:
    """A room's name by the protocol's rules."""

    def parse(self, text: str) -> str:
        """The name in its normal form."""
        from protocol.errors import ChatError
        from protocol.names import check_room

        try:
            return check_room(text.strip())
        except ChatError:
            sentence = _("a room name has 1 to 64 letters, digits, dots, dashes or underscores")
            raise ValueError(sentence) from None


@dataclass(frozen=True)
class Language:
    """A language that there is a catalogue for."""

    def parse(self, text: str) -> str:
        """The language's code."""
        code = i18n.match(text)
        if code == i18n.DEFAULT:
            return code
        if code is None:
            known = ", ".join(f"{code} ({name})" for code, name in i18n.LANGUAGES.items())
            raise ValueError(_("the languages are {languages}").format(languages=known))
        usable = i18n.available()
        if code not in usable:
            sentence = _("there is no translation for it yet; there is: {languages}")
            raise ValueError(sentence.format(languages=", ".join(usable)))
        return code


ValueType = (
    Text | Secret | Host | Address | Networks | UrlPath | Forms | Integer | Seconds | ByteSize
    | Boolean | Choice | Fingerprint | Nickname | RoomName | Language
)  # fmt: skip


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _size(count: int) -> str:
    for unit, name in ((MB, "MB"), (KB, "KB")):
        if count % unit == 0:
            return f"{count // unit}{name}"
    return str(count)
