"""What is wrong with a setting, as a sentence for the user."""

from __future__ import annotations

import codecs

from i18n import _

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class SettingsError(Exception):
    """A setting that cannot be used; the text is one sentence (exit status 2)."""


class MissingSetting(SettingsError):
    """Nothing sets ``name``. On a terminal the user can be asked ``question``."""

    def __init__(self, sentence: str, name: str, question: str, hidden: bool) -> None:
        super().__init__(sentence)
        self.name, self.question, self.hidden = name, question, hidden


def reason(error: OSError | UnicodeError) -> str:
    """Why a file cannot be read, as the end of a sentence."""
    if isinstance(error, OSError):
        why = error.strerror or type(error).__name__
        return _("it cannot be read ({reason})").format(reason=why)
    if isinstance(error, UnicodeDecodeError) and error.object.startswith(UTF16):
        return _("it is UTF-16, as PowerShell's > writes it: save it as UTF-8")
    return _("it is not valid UTF-8")
