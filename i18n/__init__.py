"""The languages of the program.

Sentences stand in the code in English and are looked up when they are used, so the language
can change while the program runs. Catalogues are gettext's (``locales/<code>/LC_MESSAGES/``),
read as package data, which also works from inside the zipapp. What a catalogue lacks stays
English. Nothing here reads the environment: the caller passes it.
"""

from __future__ import annotations

import gettext
import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Traversable

DEFAULT = "en"
_FOLDER = os.path.join(os.path.dirname(__file__), "locales")

# code -> the language's name for itself, which its speakers find in any interface
LANGUAGES = {
    "en": "English",
    "fr": "Français",
    "es": "Español",
    "zh": "中文",
    "ja": "日本語",
    "de": "Deutsch",
    "ru": "Русский",
    "et": "Eesti",
    "pt": "Português",
    "ko": "한국어",
    "ca": "Català",
    "eu": "Euskara",
    "gl": "Galego",
}

_ENGLISH = gettext.NullTranslations()

# Replaced as one tuple, so that no thread sees the code of one language and the texts of another.
_active: tuple[str, gettext.NullTranslations] = (DEFAULT, _ENGLISH)


def _(message: str) -> str:
    """``message`` in the current language; placeholders are the caller's to fill."""
    # A catalogue's header is filed under the empty text.
    return _active[1].gettext(message) if message else ""


def plural(one: str, many: str, count: int) -> str:
    """The form of a sentence that belongs to ``count``; placeholders are the caller's to fill."""
    return _active[1].ngettext(one, many, count)


def N_(message: str) -> str:
    """Mark ``message`` for translation in a table that is translated when it is used."""
    return message


def current() -> str:
    """The code of the language in use."""
    return _active[0]


def use(code: str) -> str:
    """Switch to a language of ``LANGUAGES``; one without a catalogue gives English.

    Returns the code that is now in use. Raises ``ValueError`` for a code not in ``LANGUAGES``.
    """
    global _active
    if code not in LANGUAGES:
        raise ValueError(code)
    catalogue = None if code == DEFAULT else _catalogue(code)
    _active = (DEFAULT, _ENGLISH) if catalogue is None else (code, catalogue)
    return _active[0]


def available() -> list[str]:
    """The codes that can be used: English, and every language that has a catalogue."""
    return [code for code in LANGUAGES if code == DEFAULT or _is_there(code)]


def match(tag: str) -> str | None:
    """The language of ``fr``, ``pt_BR.UTF-8`` or ``zh-TW``; None if it is none of ours."""
    code = re.split(r"[_.@-]", tag.strip(), maxsplit=1)[0].lower()
    return code if code in LANGUAGES else None


def from_locale(environ: Mapping[str, str]) -> str:
    """The language that the user's locale asks for; English where it is none of ours.

    The first variable that is set decides, as POSIX has it. Windows sets none of them as a
    rule: there the user's display language decides.
    """
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return match(environ[name]) or DEFAULT
    return match(_windows_language()) or DEFAULT


def hook_argparse() -> None:
    """Let argparse's own sentences be translated too.

    argparse binds gettext's functions by name when it is imported, where no catalogue of ours
    can reach them; those names are pointed here.
    """
    import argparse

    vars(argparse).update({"_": _, "ngettext": plural})


# What argparse may say to a user of this program, so that it gets into the catalogues.
ARGPARSE = (
    N_("usage: "),
    N_("positional arguments"),
    N_("options"),
    N_("show this help message and exit"),
    N_("argument %(argument_name)s: %(message)s"),
    N_("expected one argument"),
    N_("ignored explicit argument %r"),
)


def _windows_language() -> str:
    if sys.platform != "win32":
        return ""
    import ctypes
    import locale

    number = ctypes.windll.kernel32.GetUserDefaultUILanguage()
    return locale.windows_locale.get(number, "")


# The file itself where there is one: what reads from inside a zipapp takes 12 ms to import.


def _path(code: str) -> str:
    return os.path.join(_FOLDER, code, "LC_MESSAGES", "cmd_chat.mo")


def _packed(code: str) -> Traversable:
    from importlib.resources import files

    return files(__name__) / "locales" / code / "LC_MESSAGES" / "cmd_chat.mo"


def _is_there(code: str) -> bool:
    return os.path.isfile(_path(code)) if os.path.isdir(_FOLDER) else _packed(code).is_file()


def _catalogue(code: str) -> gettext.NullTranslations | None:
    if not _is_there(code):
        return None
    with open(_path(code), "rb") if os.path.isdir(_FOLDER) else _packed(code).open("rb") as file:
        return gettext.GNUTranslations(file)
