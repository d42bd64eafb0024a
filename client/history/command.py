"""``cmd_chat.py history``: looks into the histories on this machine, and deletes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from client import events
from client.history.recorder import described, failed
from client.history.records import HistoryKeys, Record, containing
from client.history.store import (
    Reader,
    change_passphrase,
    delete,
    history_path,
    history_paths,
    open_keys,
    run_paths,
)
from client.output import streams
from client.output.charset import Charset
from client.output.json import one_line, speak_utf8
from client.output.line_prefix import LinePrefix
from client.output.lines import plain_lines
from client.output.text import EventText, table
from client.output.wrapping import Row
from client.sealed_file import FileUnusable, WrongPassphrase
from i18n import _, plural
from protocol.dataclass import dataclass
from protocol.hosts import server_name
from protocol.safe_text import visible
from settings import HISTORY_PASSPHRASES, HistorySettings
from settings.exit_status import ExitStatus

AskPassphrase = Callable[[tuple[str, ...], bool], str]  # for which settings; twice: a new one
Answer = Callable[[str], str | None]  # to a question; None where nobody can be asked

_NEW_PASSPHRASE = ("--new-passphrase-file",)
_WORD = "delete"  # to be typed in any language, since it cannot be undone


def run(settings: HistorySettings, folder: Path, ask: AskPassphrase, answer: Answer) -> int:
    """Do what is wanted with the histories in ``folder``; the exit status.

    Raises SettingsError where a passphrase is missing, and Unwritable or BrokenPipeError.
    """
    try:
        paths = _meant(settings, folder)
    except OSError as error:
        return _say(ExitStatus.USAGE, failed(error, folder, "unreadable"))
    if not paths:
        return _on_none(settings)
    if settings.action == "delete":
        return _delete(settings, paths, answer)
    return _UnlockedHistories(settings, ask, paths).run()


def _meant(settings: HistorySettings, folder: Path) -> list[Path]:
    paths = history_paths(folder)
    if settings.server is None:
        return paths
    wanted = history_path(folder, server_name(*settings.server))
    return [path for path in paths if path == wanted]


def _on_none(settings: HistorySettings) -> int:
    if settings.server is None:
        return _say(ExitStatus.LEFT, _("There is no history on this machine."))
    sentence = _("There is no history of {server}: `history list` shows which there are.")
    return _say(ExitStatus.USAGE, sentence.format(server=server_name(*settings.server)))


def _delete(settings: HistorySettings, paths: list[Path], answer: Answer) -> int:
    if not settings.yes:
        question = plural(
            "{count} history will be gone for good. Type {word} to delete it: ",
            "{count} histories will be gone for good. Type {word} to delete them: ",
            len(paths),
        )
        typed = answer(question.format(count=len(paths), word=_WORD))
        if typed is None:
            return _say(ExitStatus.USAGE, _("Nobody can be asked here: say --yes to delete."))
        if typed.strip().casefold() != _WORD:
            return _say(ExitStatus.LEFT, _("Nothing was deleted."))
    for path in paths:
        try:
            delete(path)
        except OSError as error:
            return _say(ExitStatus.USAGE, failed(error, path, "unreadable"))
    done = plural("{count} history deleted.", "{count} histories deleted.", len(paths))
    return _say(ExitStatus.LEFT, done.format(count=len(paths)))


@dataclass(frozen=True)
class _UnlockedHistory:
    """A history that the passphrase opens."""

    path: Path
    keys: HistoryKeys


class _UnlockedHistories:
    """The histories that one passphrase opens, and what is done with them."""

    def __init__(self, settings: HistorySettings, ask: AskPassphrase, paths: list[Path]) -> None:
        self._settings, self._ask, self._paths = settings, ask, paths
        self._layout = EventText()
        self._histories: list[_UnlockedHistory] = []
        self._status = ExitStatus.LEFT

    def run(self) -> int:
        """Open them, go on with what is wanted; the exit status."""
        if self._settings.action != "passphrase":
            streams.check()
        self._unlock(self._settings.passphrase or self._ask(HISTORY_PASSPHRASES, False))
        if not self._histories:
            return self._status
        if self._settings.action == "export":
            speak_utf8(sys.stdout)
        else:
            _write_what_there_is()
        actions = {
            "list": self._list, "show": self._show, "search": self._show, "export": self._export,
            "passphrase": self._change,
        }  # fmt: skip
        actions[self._settings.action]()
        return self._status

    def _unlock(self, passphrase: str) -> None:
        shut = 0
        for path in self._paths:
            try:
                self._histories.append(_UnlockedHistory(path, open_keys(path, passphrase)))
            except WrongPassphrase:
                shut += 1
            except (OSError, FileUnusable) as error:
                self._status = _say(ExitStatus.USAGE, failed(error, path, "unreadable"))
        if shut and not self._histories:
            sentence = _("That passphrase opens no history here: try again.")
            self._status = _say(ExitStatus.REFUSED, sentence)
        elif shut:
            sentence = plural(
                "{count} history has another passphrase and is left out.",
                "{count} histories have another passphrase and are left out.",
                shut,
            )
            _say(self._status, sentence.format(count=shut))

    def _list(self) -> None:
        cells = []
        for one in self._histories:
            count = 0
            times: list[str] = []  # of the first and the last message
            for record in self._read(one):
                count += 1
                times[1:] = [_clock(record)]
            number = plural("{count} message", "{count} messages", count).format(count=count)
            cells.append([one.keys.server, number, *(times + ["", ""])[:2]])
        for row in table(sorted(cells)):
            _print("".join(span.text for span in row.spans))

    def _show(self) -> None:
        found = 0
        for one in self._histories:
            records = self._read(one)
            for number, record in enumerate(records):
                if not number and len(self._histories) > 1:
                    _print(_("History of {server}:").format(server=visible(one.keys.server)))
                for line in self._lines(self._layout.recorded(record)):
                    _print(line)
                found += 1
        if not found:
            _say(ExitStatus.LEFT, _("There is nothing like that in the history."))

    def _lines(self, rows: list[Row]) -> Iterator[str]:
        """Rows as they are printed: on a terminal no text may look like one more of them."""
        if streams.is_terminal(sys.stdout):
            return plain_lines(rows, LinePrefix(Charset(sys.stdout.encoding)))
        return ("".join(span.text for span in row.spans).rstrip() for row in rows)

    def _export(self) -> None:
        for one in self._histories:
            for record in self._read(one):
                (fields,) = events.HistoryList((record,)).fields()["messages"]
                _print(one_line({"server": one.keys.server, **fields}))

    def _change(self) -> None:
        passphrase = self._settings.new_passphrase or self._ask(_NEW_PASSPHRASE, True)
        for one in self._histories:
            try:
                change_passphrase(one.path, one.keys, passphrase)
            except (OSError, FileUnusable) as error:
                self._status = _say(ExitStatus.USAGE, failed(error, one.path, "unreadable"))
                return
        done = plural(
            "{count} history has the new passphrase.",
            "{count} histories have the new passphrase.",
            len(self._histories),
        )
        _say(ExitStatus.LEFT, done.format(count=len(self._histories)))

    def _read(self, history: _UnlockedHistory) -> Iterator[Record]:
        """What is wanted of a history; then what is wrong with it is said."""
        settings = self._settings
        is_wanted = containing(settings.text or "", settings.room or "")
        try:
            reader = Reader([file for _, file in run_paths(history.path)], history.keys)
            if settings.last is not None:
                yield from reader.last(settings.last, is_wanted)
            else:
                yield from filter(is_wanted, reader.records())
        except (OSError, FileUnusable) as error:
            self._status = _say(ExitStatus.USAGE, failed(error, history.path, "unreadable"))
            return
        for sentence in described(reader.faults):
            _say(ExitStatus.LEFT, f"{visible(history.keys.server)}: {sentence}")


def _clock(record: Record) -> str:
    return f"{record.time.astimezone():%Y-%m-%d %H:%M}"


def _write_what_there_is() -> None:
    """What a person reads, in the characters that the output has."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def _print(line: str) -> None:
    streams.write(line + "\n")


def _say(status: ExitStatus, sentence: str) -> ExitStatus:
    """Say a sentence, and pass the status on."""
    streams.flush()  # what came before stands before it
    streams.say(sentence)
    return status
