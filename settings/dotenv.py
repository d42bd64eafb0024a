r"""``.env``: lines of ``NAME=value``, as shells and the tools of that name write them.

A line may start with ``export``. A value stands as it is up to the end of the line or to a
``#`` after white space. In single quotes nothing is special; in double quotes ``\n``, ``\r``,
``\t``, ``\"``, ``\\``, ``\$`` and ``\``` are escapes. Quoted values may go over several lines.
Nothing is substituted. Of two lines with one name the last counts. A line of another form is
passed over: files of that name belong to many tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from i18n import N_, _, plural
from settings.table import ROWS

_IN_CLEAR = N_(
    "{path} asks for {setting} in a part that is not read, and without it this could "
    "go on in clear: give {flag} yourself, or say --env-file none to do without."
)
_DIRECTLY = N_(
    "{path} asks for {setting} in a part that is not read, and without it this "
    "would go on directly: give {flag} yourself, or say --env-file none to do "
    "without."
)
_OPEN = N_(
    "{path} asks for {setting} in a part that is not read, and without it tokens could "
    "be given out where they should not be: set {setting} in the environment, or say "
    "--env-file none to do without."
)
_TRUSTING = N_(
    "{path} asks for {setting} in a part that is not read, and without it other certificates "
    "would be trusted: set {setting} in the environment, or say --env-file none to do without."
)
# Settings that only make things stricter. Where a part of a file is not taken that names one of
# them, nothing may go on as if it had not been wanted; each with what is said then.
STRICT = {
    "FORCE_SSL": _IN_CLEAR, "CLIENT_USE_SSL": _IN_CLEAR, "CLIENT_SSL_CA": _IN_CLEAR,
    "CLIENT_SSL_FINGERPRINT": _IN_CLEAR, "CLIENT_PROXY": _DIRECTLY,
    "CLIENT_PROXY_FILE": _DIRECTLY, "TOKEN_FORMS": _OPEN, "TRUSTED_PROXIES": _OPEN,
    "BACKEND_SSL_CA": _TRUSTING,
}  # fmt: skip

_LINES_NAMED = 10  # of those that are passed over

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
_STRICT = re.compile(rf"(?<!\w)(?:{'|'.join(STRICT)})(?!\w)")
_HALF = re.compile("[\ud800-\udfff]")  # what was not UTF-8


class Dotenv(dict[str, str]):
    """Name and value of what is taken from a file, and what there is to say of the rest.

    ``name``: the file as the user knows it. ``notices``: a sentence for each thing that is not
    taken. ``withheld``: the ``STRICT`` settings that the rest names. ``taken``: the names of which
    something has made use.
    """

    def __init__(
        self,
        values: Mapping[str, str] | None = None,
        *,
        name: str = ".env",
        notices: Iterable[str] = (),
        withheld: Iterable[str] = (),
    ) -> None:
        super().__init__(values or {})
        self.name, self.notices, self.withheld = name, tuple(notices), frozenset(withheld)
        self.taken: set[str] = set()

    def used(self) -> list[str]:
        """The settings of which use was made, in the table's order."""
        return [name for name in ROWS if name in self.taken]


def parse_dotenv(text: str, name: str = ".env") -> Dotenv:
    """What stands in the text of a file called ``name``.

    Half surrogates stand for bytes that are not UTF-8; a line that has one is passed over.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    values: dict[str, str] = {}
    passed_over: list[int] = []
    withheld: set[str] = set()
    place, number = 0, 1
    while place < len(text):
        line = _LINE.match(text, place)
        if line is not None and _HALF.search(line[0]) and line["name"]:
            line = None
        end = line.end() if line is not None else text.find("\n", place) + 1 or len(text)
        if line is None:
            passed_over.append(number)
            withheld |= set(strict_names(text[place:end]))
        elif line["name"]:
            values[line["name"]] = _value(line)
            # A quote that somebody forgot to close takes the lines after it away.
            withheld |= set(strict_names(text[place:end].partition("\n")[2]))
        number += text.count("\n", place, end)
        place = end
    notices = [_passed_over(name, passed_over)] if passed_over else []
    return Dotenv(values, name=name, notices=notices, withheld=withheld)


def strict_names(text: str) -> list[str]:
    """The ``STRICT`` settings that a text names, but for its comments."""
    lines = (line for line in text.split("\n") if not line.lstrip().startswith("#"))
    return [name for line in lines for name in _STRICT.findall(line)]


def _passed_over(name: str, numbers: list[int]) -> str:
    # What the lines say may be secret: only their numbers are told.
    shown = ", ".join(map(str, numbers[:_LINES_NAMED]))
    if len(numbers) > _LINES_NAMED:
        shown += ", …"
    sentence = plural(
        "{path} line {numbers} is not of the form NAME=value, and is passed over.",
        "{path} lines {numbers} are not of the form NAME=value, and are passed over.",
        len(numbers),
    )
    return sentence.format(path=name, numbers=shown)


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


def near_misses(names: Mapping[str, str]) -> list[str]:
    """A sentence for each name that is none of ours but looks like a mistyped one."""
    if all(name in ROWS for name in names):
        return []  # mostly, and without what follows
    from difflib import get_close_matches

    path = getattr(names, "name", ".env")
    sentences = []
    for name in names:
        if name not in ROWS and (close := get_close_matches(name.upper(), ROWS, 1, 0.85)):
            sentence = _("{path} has {name}, which is no setting; is {setting} meant?")
            sentences.append(sentence.format(path=path, name=name, setting=close[0]))
    return sentences
