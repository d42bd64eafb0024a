"""The catalogues: extracted from the sources, updated, compiled and checked, with Babel.

    python -m tools.translations update     what the sources say into every .po
    python -m tools.translations compile    every .po into the .mo beside it
    python -m tools.translations check      what is missing, fuzzy, unused or not current

``make i18n`` runs the first two and then the third.
"""

from __future__ import annotations

import datetime
import functools
import io
import re
import string
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages import catalog as babel_catalog
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import i18n

ROOT = Path(__file__).parent.parent
SOURCES = ("cli", "settings", "server", "client", "i18n", "transport", "protocol")
KEYWORDS = {"_": None, "N_": None, "plural": (1, 2)}
CODES = [code for code in i18n.LANGUAGES if code != i18n.DEFAULT]
# Part of the file, but no news: so that the same texts make the same bytes, with any 2.x of Babel.
_NO_DATE = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
babel_catalog.VERSION = "2"  # type: ignore[attr-defined]  # not exported


def po_path(code: str) -> Path:
    """Where the texts of a language are."""
    return ROOT / "i18n" / "locales" / code / "LC_MESSAGES" / "cmd_chat.po"


@functools.cache
def source() -> Catalog:
    """All messages of the sources, with the files that they stand in."""
    found = _empty(None)
    for path in _files():
        name = path.relative_to(ROOT).as_posix()
        for line, message, _comments, _context in extract_from_file("python", path, KEYWORDS):
            if message:
                found.add(message, locations=[(name, line)])
    return found


def read(code: str) -> Catalog:
    """A language's catalogue; an empty one if there is none yet."""
    path = po_path(code)
    if not path.exists():
        return _empty(code)
    with path.open("rb") as file:
        return read_po(file, locale=code)


def updated(code: str) -> Catalog:
    """The catalogue with the messages of the sources: new ones empty, old ones gone."""
    known, found = read(code), _empty(code)
    # Those that the texts are written for: what Babel thinks changes with its version.
    found.mime_headers = [("Plural-Forms", known.plural_forms)]
    for message in source():
        if message.id:
            old = known.get(message.id)
            text = old.string if old is not None and not old.fuzzy else None
            found.add(message.id, text, locations=message.locations, flags=_flags(message))
    return found


def write(catalog: Catalog) -> bytes:
    """The bytes of the .po."""
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=100, sort_output=True, include_lineno=False)
    return buffer.getvalue()


def compiled(catalog: Catalog) -> bytes:
    """The bytes of the .mo."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def problems(code: str) -> Iterator[str]:
    """What keeps a language from being complete and current, one line each."""
    yield from gaps(code)
    yield from faults(code)


def gaps(code: str) -> list[str]:
    """What falls back to English, and what nobody says any more, one line each.

    No fault: who adds a sentence need not speak twelve languages.
    """
    wanted = {_key(message) for message in source() if message.id}
    texts = {_key(message): _texts(message) for message in read(code) if message.id}
    return [
        *(f"{code}: missing: {key!r}" for key in sorted(wanted - texts.keys())),
        *(f"{code}: unused: {key!r}" for key in sorted(texts.keys() - wanted)),
        *(f"{code}: untranslated: {key!r}" for key in sorted(texts) if not all(texts[key])),
    ]


def faults(code: str) -> Iterator[str]:
    """What is wrong in a catalogue, whatever the sources say: fuzzy, malformed, not compiled."""
    catalog = read(code)
    for message in catalog:
        if message.id:
            if message.fuzzy:
                yield f"{code}: fuzzy: {_key(message)!r}"
            yield from (f"{code}: {what}: {_key(message)!r}" for what in _faults(message, catalog))
    mo = po_path(code).with_suffix(".mo")
    if not mo.exists() or mo.read_bytes() != compiled(catalog):
        yield f"{code}: the .mo is not current: run make i18n"


def summary() -> str:
    """How much is untranslated, in one line; empty where nothing is."""
    counts = {code: len(gaps(code)) for code in CODES}
    names = ", ".join(f"{code} {count}" for code, count in counts.items() if count)
    return f"translations to do (make i18n names them): {names}" if names else ""


def placeholders(text: str) -> set[str]:
    """The names in braces, and argparse's percent signs."""
    names = {f"{{{name}}}" for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    return names | set(re.findall(r"%(?:\(\w+\))?[a-z]", text))


def _faults(message: Message, catalog: Catalog) -> Iterator[str]:
    sources = [message.id] if isinstance(message.id, str) else list(message.id)
    texts = [text for text in _texts(message) if text]
    if not texts:
        return  # a gap
    if len(texts) != (1 if isinstance(message.id, str) else catalog.num_plurals):
        yield "wrong number of plural forms"
    for text in texts:
        if placeholders(text) not in [placeholders(each) for each in sources]:
            yield "other placeholders"
        elif text.strip() != text and sources[0].strip() == sources[0]:
            yield "spaces around it"


def _texts(message: Message) -> list[str]:
    text = message.string
    return [text] if isinstance(text, str) else list(text or ())


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _flags(message: Message) -> set[str]:
    # What Babel takes for a format is a guess; _faults knows what ours are.
    return set()


def _empty(code: str | None) -> Catalog:
    return Catalog(
        locale=code,
        project="CMD CHAT",
        version="1",
        copyright_holder="the CMD CHAT maintainers",
        msgid_bugs_address="see SECURITY.md",
        creation_date=_NO_DATE,
        revision_date=_NO_DATE,
        last_translator="none yet reviewed by a native speaker",
        language_team=i18n.LANGUAGES.get(code or "", "English"),
        charset="utf-8",
        fuzzy=False,
    )


def _files() -> list[Path]:
    found: list[Path] = []
    for name in SOURCES:
        path = ROOT / name
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def main(action: str) -> int:
    """Run one action; the exit status."""
    if action == "check":
        found = [line for code in CODES for line in problems(code)]
        print("\n".join(found) or f"{len(CODES)} languages are complete and current")
        return 1 if found else 0
    for code in CODES:
        path = po_path(code)
        path.parent.mkdir(parents=True, exist_ok=True)
        if action == "update":
            path.write_bytes(write(updated(code)))
        elif action == "compile":
            path.with_suffix(".mo").write_bytes(compiled(read(code)))
        else:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
