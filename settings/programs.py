"""What ``send``, ``tail`` and ``wait`` need."""

from __future__ import annotations

import re
from typing import Any

from i18n import _
from protocol.dataclass import dataclass, field
from settings.connect import ClientSettings, client_settings
from settings.errors import SettingsError
from settings.sources import Sources, missing

SEND_SECONDS = 60.0  # until ``send`` gives up, where nothing else is said


@dataclass(frozen=True, kw_only=True)
class SendSettings:
    """What ``send`` needs: ``text``, or the ``file`` that it is in, or neither: standard input.

    ``pattern``: an answer by ``sender``, or anybody, is waited for.
    """

    client: ClientSettings
    text: str | None = field(repr=False)
    file: str | None
    lines: bool
    to: str | None
    pattern: re.Pattern[str] | None
    sender: str | None
    timeout: float  # in seconds
    form: str  # of an answer: text, raw, json


@dataclass(frozen=True, kw_only=True)
class TailSettings:
    """What ``tail`` needs, and ``wait``, which has a ``pattern``; None where there is no end."""

    client: ClientSettings
    pattern: re.Pattern[str] | None = None
    sender: str | None
    private: bool = False
    count: int | None
    timeout: float | None  # in seconds
    form: str


def send_settings(sources: Sources) -> SendSettings:
    """The settings of ``send``.  Raises ``SettingsError``, and ``MissingSetting``."""
    text = _text(sources)
    file, lines = sources.value("--file"), sources.value("--lines")
    pattern, sender = sources.value("--wait"), sources.value("--from")
    if text is not None and (file or lines):
        raise SettingsError(_("TEXT, --file and --lines: of TEXT and the others keep one."))
    if lines and pattern:
        raise SettingsError(_("--wait is for one message: leave out --lines."))
    if sender and not pattern:
        raise SettingsError(_("--from is for an answer: it needs --wait."))
    return SendSettings(
        client=client_settings(sources, one_room=True),
        text=text,
        file=file,
        lines=lines,
        to=sources.value("--to"),
        pattern=pattern,
        sender=sender,
        timeout=sources.value("--timeout") or SEND_SECONDS,
        form=_form(sources),
    )


def tail_settings(sources: Sources) -> TailSettings:
    """The settings of ``tail``.  Raises ``SettingsError``, and ``MissingSetting``."""
    found = _listening(sources, one_room=False)
    private, count = sources.value("--private"), sources.value("--count")
    return TailSettings(**found, private=private, count=count)


def wait_settings(sources: Sources) -> TailSettings:
    """The settings of ``wait``.  Raises ``SettingsError``, and ``MissingSetting``."""
    pattern = sources.value("--match")
    if pattern is None:
        raise missing(("--match",))
    return TailSettings(**_listening(sources, one_room=True), pattern=pattern, count=1)


def _text(sources: Sources) -> str | None:
    """The text on the command line, None where it is to be read.  Raises ``SettingsError``."""
    text = sources.args.get("<MESSAGE>")
    if not isinstance(text, str) or text == "-":
        return None
    if not text.strip():  # an empty variable of a shell; nothing is read in its place
        raise SettingsError(_("There is nothing to send: the text is empty."))
    return str(sources.value("<MESSAGE>"))


def _listening(sources: Sources, one_room: bool) -> dict[str, Any]:
    return {
        "client": client_settings(sources, one_room),
        "sender": sources.value("--from"),
        "timeout": sources.value("--timeout"),
        "form": _form(sources),
    }


def _form(sources: Sources) -> str:
    raw, json = sources.value("--raw"), sources.value("--json")
    if raw and json:
        raise SettingsError(_("--raw and --json are two forms; keep one of them."))
    return "raw" if raw else "json" if json else "text"
