"""Languages: catalogues, plural forms, what is missing, and what the locale asks for."""

from __future__ import annotations

import argparse
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import i18n

FRENCH = {
    "": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n > 1);\n",
    "hello {name}": "bonjour {name}",
    "{count} member\0{count} members": "{count} membre\0{count} membres",
    "usage: ": "utilisation : ",
}
RUSSIAN = {
    "": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=3; plural=(n%10==1 && "
    "n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);\n",
    "{count} member\0{count} members": "{count} участник\0{count} участника\0{count} участников",
}


def compiled(texts: dict[str, str]) -> bytes:
    """A catalogue in the format of GNU gettext's .mo files (the gettext manual, 10.3)."""
    rows = sorted((key.encode(), value.encode()) for key, value in texts.items())
    blob, tables = b"", [b"", b""]
    start = 28 + 16 * len(rows)
    for column in (0, 1):
        for row in rows:
            tables[column] += struct.pack("<II", len(row[column]), start + len(blob))
            blob += row[column] + b"\0"
    head = struct.pack("<IIIIIII", 0x950412DE, 0, len(rows), 28, 28 + 8 * len(rows), 0, 0)
    return head + b"".join(tables) + blob


@pytest.fixture(autouse=True)
def catalogues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(i18n, "_FOLDER", str(tmp_path))
    for code, texts in (("fr", FRENCH), ("ru", RUSSIAN)):
        folder = tmp_path / code / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "cmd_chat.mo").write_bytes(compiled(texts))
    before = i18n.current()
    i18n.use("en")
    yield
    monkeypatch.undo()
    i18n.use(before)


def test_thirteen_languages_know_their_own_names() -> None:
    assert list(i18n.LANGUAGES) == "en fr es zh ja de ru et pt ko ca eu gl".split()
    assert len(set(i18n.LANGUAGES.values())) == 13


def test_the_language_changes_while_the_program_runs() -> None:
    assert i18n.use("fr") == i18n.current() == "fr"
    assert i18n._("hello {name}").format(name="bob") == "bonjour bob"
    assert i18n.use("en") == i18n.current() == "en"
    assert i18n._("hello {name}") == "hello {name}"


def test_without_a_folder_catalogues_are_the_packages_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(i18n, "_FOLDER", str(tmp_path / "none"))
    assert i18n.use("fr") == "fr" and i18n._("commands") == "commandes"
    assert i18n.available() == list(i18n.LANGUAGES)


@pytest.mark.parametrize(
    ("code", "count", "form"),
    [
        ("en", 0, "{count} members"),
        ("en", 1, "{count} member"),
        ("fr", 0, "{count} membre"),
        ("fr", 2, "{count} membres"),
        ("ru", 1, "{count} участник"),
        ("ru", 22, "{count} участника"),
        ("ru", 111, "{count} участников"),
    ],
)
def test_plural_forms_are_the_languages_own(code: str, count: int, form: str) -> None:
    i18n.use(code)
    assert i18n.plural("{count} member", "{count} members", count) == form


def test_what_a_catalogue_lacks_stays_english() -> None:
    i18n.use("fr")
    assert i18n._("not there") == "not there"
    assert i18n.plural("one", "many", 2) == "many"


def test_an_empty_text_stays_empty() -> None:
    i18n.use("fr")
    assert i18n._("") == ""


def test_a_language_without_a_catalogue_is_english() -> None:
    i18n.use("fr")
    assert i18n.use("ja") == i18n.current() == "en"


def test_an_unknown_code_changes_nothing() -> None:
    i18n.use("fr")
    with pytest.raises(ValueError, match="xx"):
        i18n.use("xx")
    assert i18n.current() == "fr"


def test_available_are_english_and_those_with_a_catalogue() -> None:
    assert i18n.available() == ["en", "fr", "ru"]


def test_marking_changes_nothing() -> None:
    i18n.use("fr")
    assert i18n.N_("hello {name}") == "hello {name}"


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "pt_BR"}, "pt"),
        ({"LANG": "zh-TW"}, "zh"),
        ({"LANG": "ca_ES@valencia"}, "ca"),
        ({"LANG": "DE"}, "de"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "nb_NO.UTF-8"}, "en"),
        ({"LANG": "fr", "LC_MESSAGES": "es_MX"}, "es"),
        ({"LANG": "fr", "LC_MESSAGES": "es", "LC_ALL": "ko_KR"}, "ko"),
        ({"LANG": "fr", "LC_ALL": "C"}, "en"),
        ({"LANG": "fr", "LC_ALL": ""}, "fr"),
    ],
)
def test_the_locale_decides_as_posix_has_it(environ: dict[str, str], code: str) -> None:
    assert i18n.from_locale(environ) == code


def test_windows_tells_the_users_language_where_no_variable_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(i18n, "_windows_language", lambda: "eu_ES")
    assert i18n.from_locale({}) == "eu"
    assert i18n.from_locale({"LANG": "gl_ES"}) == "gl"


def test_argparse_speaks_the_language_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argparse, "_", vars(argparse)["_"])
    monkeypatch.setattr(argparse, "ngettext", vars(argparse)["ngettext"])
    i18n.hook_argparse()
    parser = argparse.ArgumentParser(prog="x", add_help=False)
    assert parser.format_usage() == "usage: x\n"
    i18n.use("fr")
    assert parser.format_usage() == "utilisation : x\n"
