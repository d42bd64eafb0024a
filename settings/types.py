"""Types of settings: how a value is written, and which ones are allowed.

Each type is a function from text to value, which raises ``ValueError`` with what the value must
be, in the user's language. An error never repeats the text.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import i18n
from i18n import _

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

KB, MB = 1024, 1024 * 1024

_UNITS = {"": 1, "b": 1, "kb": KB, "mb": MB}
_TRUTH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def file_path(text: str) -> str:
    """The path of a file, trimmed: any text that a terminal can show."""
    text = text.strip()
    if not text.isprintable():
        raise ValueError(_("it must not contain control characters"))
    return text


def file_paths(text: str) -> tuple[str, ...]:
    """Paths of files, one a line."""
    return tuple(file_path(line) for line in text.split("\n") if line.strip())


def secret(text: str) -> str:
    """Any text, kept as it is."""
    return text


def host(text: str) -> str:
    """An IP address, in brackets or not, or a host name; without brackets."""
    name = text.strip()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    # Looked for ahead: between two repetitions it would take quadratic time.
    if re.fullmatch(r"(?=[\w.-]*?[^\W\d])[\w.-]+", name) or _is_address(name):
        return name
    raise ValueError(_("it must be a host name or an IP address, without http:// or a port"))


def address(text: str) -> tuple[str, int | None]:
    """A host, and perhaps a port behind a colon (else None); an IPv6 address with a port is in
    brackets."""
    name, colon, port = text.strip().rpartition(":")
    if not colon or _is_address(text.strip()) or text.strip().endswith("]"):
        return host(text), None
    try:
        return host(name), integer(1, 65535)(port)
    except ValueError:
        sentence = _("it must be a host name or an IP address, perhaps with a port: host:1000")
        raise ValueError(sentence) from None


def addresses(text: str) -> tuple[tuple[str, int | None], ...]:
    """One ``address``; or several of one chat with commas between, each with its port."""
    words = text.split(",")
    if len(words) == 1:
        return (address(text),)
    from protocol.hosts import MOST_ADDRESSES, all_differ

    with contextlib.suppress(ValueError):
        found = tuple(map(address, words[: MOST_ADDRESSES + 1]))
        ports = [(host, port) for host, port in found if port is not None]
        if len(ports) == len(found) <= MOST_ADDRESSES and all_differ(ports):
            return found
    sentence = _(
        "several addresses are written a.example:1000,b.example:1000, each with its port, no two "
        "the same, {limit} at most"
    )
    raise ValueError(sentence.format(limit=MOST_ADDRESSES))


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """IP addresses, each a network of its own, and networks, with commas or blanks between."""
    import ipaddress

    try:
        return tuple(ipaddress.ip_network(each) for each in text.replace(",", " ").split())
    except ValueError:
        sentence = _(
            "it must be IP addresses and networks, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8"
        )
        raise ValueError(sentence) from None


def url_path(text: str) -> str:
    """The path of a URL, with a slash before each part and none at its end; "" for none."""
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


def key_prefix(text: str) -> str:
    """What the names of all keys begin with: letters, digits and ``-_.:``, ending with a colon."""
    text = text.strip()
    if re.fullmatch(r"[A-Za-z0-9_.:-]{1,63}:", text):
        return text
    raise ValueError(
        _("it must be up to 64 letters, digits, dots, dashes and underscores, ending with a colon")
    )


def token_forms(text: str) -> str | tuple[str, int]:
    """Where the forms for tokens are served: ``on``, ``off``, ``proxied`` (also through trusted
    proxies), or host and port of their own."""
    word = text.strip().lower()
    if word == "proxied":
        return word
    with contextlib.suppress(ValueError):
        return "on" if boolean(word) else "off"
    name, _colon, port = text.strip().rpartition(":")
    try:
        return host(name), integer(0, 65535)(port)
    except ValueError:
        sentence = _("it must be on, off, proxied, or an address and port such as {example}")
        raise ValueError(sentence.format(example="127.0.0.1:1001")) from None


def integer(low: int, high: int) -> Callable[[str], int]:
    """A whole number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,12}", text.strip()) and low <= int(text) <= high:
            return int(text)
        sentence = _("it must be a whole number from {low} to {high}")
        raise ValueError(sentence.format(low=low, high=high))

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """A time in seconds, decimals allowed."""

    def parse(text: str) -> float:
        text = text.strip()
        if re.fullmatch(r"[0-9]{1,12}\.?[0-9]*|\.[0-9]+", text) and low <= float(text) <= high:
            return float(text)
        sentence = _("it must be a number of seconds from {low} to {high}")
        raise ValueError(sentence.format(low=low, high=high))

    return parse


def byte_size(low: int, high: int) -> Callable[[str], int]:
    """A number of bytes, also as ``10KB`` or ``1MB``."""

    def parse(text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,12})\s*([a-z]*)", text.strip().lower())
        size = int(found[1]) * _UNITS.get(found[2], 0) if found else 0
        if found and found[2] in _UNITS and low <= size <= high:
            return size
        sentence = _("it must be a size from {low} to {high}, such as 10KB, 1MB or 5000 (bytes)")
        raise ValueError(sentence.format(low=_size(low), high=_size(high)))

    return parse


def boolean(text: str) -> bool:
    """Yes or no."""
    try:
        return _TRUTH[text.strip().lower()]
    except KeyError:
        sentence = _("it must be true or false (also yes and no, on and off, 1 and 0)")
        raise ValueError(sentence) from None


def choice(*words: str) -> Callable[[str], str]:
    """One of a few words, in lower case."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word in words:
            return word
        raise ValueError(_("it must be one of: {words}").format(words=", ".join(words)))

    return parse


def fingerprint(text: str) -> str:
    """SHA-256 of a certificate in hex, with or without colons; 64 lower-case digits."""
    digits = re.sub(r"[\s:]", "", text).lower()
    if re.fullmatch(r"[0-9a-f]{64}", digits):
        return digits
    raise ValueError(_("it must be the SHA-256 fingerprint of a certificate: 64 hex digits"))


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression, as Python's ``re`` has it."""
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        sentence = _("it must be a regular expression as Python has it ({reason})")
        raise ValueError(sentence.format(reason=error)) from None


def command(text: str) -> tuple[str, ...]:
    """A program and its arguments, split as a shell splits words, though no shell runs it."""
    import shlex

    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words or not words[0]:
        raise ValueError(_("it must be a program and its arguments, each quote closed"))
    return tuple(words)


def nickname(text: str) -> str:
    """A nickname by the protocol's rules, in its normal form."""
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


def room_name(text: str) -> str:
    """A room's name by the protocol's rules, in its normal form."""
    from protocol.errors import ChatError
    from protocol.names import check_room

    try:
        return check_room(text.strip())
    except ChatError:
        sentence = _("a room name has 1 to 64 letters, digits, dots, dashes or underscores")
        raise ValueError(sentence) from None


def room_names(text: str) -> tuple[str, ...]:
    """Names of rooms with commas between, which no name can hold; those that mean the same room
    are one."""
    from protocol.limits import ROOMS_OF_ONE
    from protocol.names import room_key

    rooms: dict[str, str] = {}
    for room in map(room_name, text.split(",")):
        rooms.setdefault(room_key(room), room)
    if len(rooms) > ROOMS_OF_ONE:
        raise ValueError(_("it must be {limit} rooms at most").format(limit=ROOMS_OF_ONE))
    return tuple(rooms.values())


def language(text: str) -> str:
    """The code of a language that there is a catalogue for."""
    code = i18n.match(text)
    if code is None:
        known = ", ".join(f"{code} ({name})" for code, name in i18n.LANGUAGES.items())
        raise ValueError(_("the languages are {languages}").format(languages=known))
    usable = i18n.available()
    if code not in usable:
        sentence = _("there is no translation for it yet; there is: {languages}")
        raise ValueError(sentence.format(languages=", ".join(usable)))
    return code


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
