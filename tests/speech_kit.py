"""Somebody who hears the chat: the client under yasr, a screen reader of Debian's, and a speech
server in place of a synthesizer, which writes down what it is told to say.

yasr says what a program writes on the terminal, and each key by itself.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from tests.processes import PASSWORD, PROGRAM, Server, Terminal

# Speaks the protocol of Emacspeak's servers: ``q {text}``, ``l {letter}``, ``d``, ``s``.
_STAND_IN = """#!/bin/sh
exec cat >> '{log}'
"""
_SAID = re.compile(r"^(?:q|l|tts_say) \{(.*)\}[^}\n]*$", re.MULTILINE)
_CONF = """[normalkeys]
[reviewkeys]
[options]
cursor tracking=full
synthesizer=emacspeak server
synthesizer port=|{server}
key echo=keys
shell=/bin/sh
special=off
up and down arrows=speak line
DisableKey=6925
[Emacspeak server]
rate=175
punctuation=some
[dict]
>=greater than
"""
# yasr leaves its side of the terminal open for what it starts, too: its end would hang up nothing.
_STARTED = 'exec 3>&- 4>&- 5>&-; exec "$@"'


class Listener:
    """A person who hears ``program`` (``connect`` of this tree, unless told otherwise)."""

    def __init__(
        self, folder: Path, server: Server, nick: str, *options: str, program: Path = PROGRAM
    ) -> None:
        reader = shutil.which("yasr")
        assert reader is not None, "Debian's yasr is missing: apt-get install yasr"
        self._log = folder / "said"
        self._log.touch()
        stand_in, conf = folder / "server", folder / ".yasr.conf"
        stand_in.write_text(_STAND_IN.format(log=self._log))
        stand_in.chmod(0o700)
        conf.write_text(_CONF.format(server="./server"))
        words = [sys.executable, str(program), "connect", server.host, str(server.port)]
        self._count = 0
        self.terminal = Terminal(
            ["/bin/sh", "-c", _STARTED, "sh", *words, nick, *options],
            {"HOME": str(folder), "CLIENT_PASSWORD": PASSWORD, "TERM": "linux"},
            # Of a path of a hundred letters yasr's buffer would overflow.
            command=["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(folder), reader, "-C",
                     f"./{conf.name}", "--"],
        )

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *error: object) -> None:
        self.terminal.__exit__(*error)

    def hears(self, text: str) -> list[str]:
        """All that was said since the last time, up to what has ``text`` in it."""
        heard: list[str] = []

        def said() -> bool:
            heard[:] = _SAID.findall(self._log.read_text())[self._count :]
            return any(text in words for words in heard)

        self.terminal.waits(said, text)
        end = next(place for place, words in enumerate(heard, 1) if text in words)
        self._count += end
        return [words.strip() for words in heard[:end] if words.strip()]

