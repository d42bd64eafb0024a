"""What came of running a program once, and what there is to say of it where that was no answer."""

from __future__ import annotations

from client.events import Error
from i18n import _

SECONDS = 10.0  # that a run may take


def answer(output: bytes, fault: str, status: int, most: int) -> str | Error:
    """The text to post, "" for nothing; or why there is none: a text has ``most`` bytes.

    ``fault`` is why it was ended, ``timeout`` or ``too_long``, or "" where it has ended by itself;
    ``status`` is its exit status, that of a signal is negative.
    """
    if fault == "timeout":
        text = _("The program took longer than {seconds} seconds, and was ended: no answer.")
        return Error("program_timeout", text.format(seconds=f"{SECONDS:g}"))
    output = output.rstrip(b"\r\n")
    if fault == "too_long" or len(output) > most:
        text = _("The program printed more than this server takes ({count} bytes): no answer.")
        return Error("program_too_long", text.format(count=most))
    if status < 0:
        text = _("The program was ended by signal {number}: no answer.")
        return Error("program_failed", text.format(number=-status))
    if status:
        text = _("The program failed with exit status {status}: no answer.")
        return Error("program_failed", text.format(status=status))
    try:
        text = output.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        return Error("program_not_text", _("The program printed what is not UTF-8: no answer."))
    return text if text.strip() else ""


def not_started(why: str) -> Error:
    """``why`` is the system's reason."""
    text = _("The program could not be started: {reason}.")
    return Error("program_not_started", text.format(reason=why))


def busy(waiting: int) -> Error:
    """A message comes while so many wait that there is no room for it."""
    text = _("The program is too slow: {count} messages wait for it, and it does not get this one.")
    return Error("program_busy", text.format(count=waiting))
