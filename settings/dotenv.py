r"""``.env``: lines of ``NAME=value``, as shells and the tools of that name write them.

A line may start with ``export``. A value stands as it is up to the end of the line or to a
``#`` after white space. In single quotes nothing is special; in double quotes ``\n``, ``\r``,
``\t``, ``\"``, ``\\``, ``\$`` and ``\``` are escapes. Quoted values may go over several lines.
Nothing is substituted. Of two lines with one name the last counts.
"""

from __future__ import annotations

import re
from pathlib import Path

from i18n import _
from settings.errors import SettingsError, reason
from settings.table import ROWS

_FILE_BYTES = 128 * 1024  # more is no settings file, and costs much memory to look at

_LINE = re.compile(
    r"""[^\S\n]*
        (?: (?:export[^\S\n]+)? (?P<name>[A-Za-z_][\w.-]*) [^\S\n]* =
            (?: [^\S\n]* (?: '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" ) [^\S\n]*
              | (?P<plain> (?! [^\S\n]*['"]) (?: (?<!\s)\# | [^\n\#] )* )
            )
        )?
        (?: (?<!\S)\#[^\n]* )?
        (?:\n|\Z)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "`": "`"}


def read_dotenv(path: str | Path = ".env") -> dict[str, str]:
    """Name and value of every line; nothing where there is no such file.

    Raises ``SettingsError`` for a file that cannot be read, is not UTF-8 or not of this form.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(_FILE_BYTES + 1)
        if len(raw) > _FILE_BYTES:
            raise SettingsError(_("{path} is too long for a settings file.").format(path=path))
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as error:
        sentence = _("{path} cannot be used: {why}.")
        raise SettingsError(sentence.format(path=path, why=reason(error))) from None
    return parse_dotenv(text, str(path))


def parse_dotenv(text: str, path: str = ".env") -> dict[str, str]:
    """``read_dotenv`` for the text of the file; ``path`` is named in errors."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    values: dict[str, str] = {}
    place = 0
    while place < len(text):
        line = _LINE.match(text, place)
        if line is None:
            # What the line says may be a secret: only its number is told.
            number = text.count("\n", 0, place) + 1
            sentence = _("{path} line {number} is not of the form NAME=value.")
            raise SettingsError(sentence.format(path=path, number=number))
        if line["name"]:
            values[line["name"]] = _value(line)
        place = line.end()
    return values


def _value(line: re.Match[str]) -> str:
    if line["single"] is not None:
        return line["single"]
    if line["double"] is not None:
        return re.sub(
            r"\\(.)",
            lambda escape: _ESCAPES.get(escape[1], escape[0]),
            line["double"],
            flags=re.DOTALL,
        )
    return line["plain"].strip()


def near_misses(names: dict[str, str]) -> list[str]:
    """A sentence for each name that is none of ours but looks like a mistyped one."""
    from difflib import get_close_matches

    sentences = []
    for name in names:
        if name not in ROWS and (close := get_close_matches(name.upper(), ROWS, 1, 0.85)):
            sentence = _(".env has {name}, which is no setting; is {setting} meant?")
            sentences.append(sentence.format(name=name, setting=close[0]))
    return sentences
