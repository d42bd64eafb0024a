"""Where values come from, and which source wins: answers, command line, environment, ``.env``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import i18n
from i18n import N_, _
from protocol.dataclass import dataclass, field
from protocol.hosts import Address
from settings.dotenv import STRICT, Dotenv
from settings.errors import MissingSetting, SettingsError, reason
from settings.servers import NamedServer, named_server
from settings.table import GROUPED, INVITES, QUESTIONS, ROWS, TABLE, Setting, default

Args = Mapping[str, str | bool | None]  # by setting; True: a flag without its value, so ask

_FILE_BYTES = 64 * 1024  # more is no password
_SHOWN_CHARS = 60  # of a wrong value
# What begins a password in a URL, or the secret of a room in a link, however it got there.
_MAY_HOLD_SECRETS = re.compile("[@#]")
# What is typed to keep something from happening: an empty variable of the shell must not undo it.
_NEVER_EMPTY = ("CLIENT_PROXY",)

_PROMPT, _COMMAND, _ENVIRONMENT = (
    N_("your answer"), N_("command line"), N_("environment")
)  # fmt: skip


@dataclass(frozen=True)
class SourceValue:
    """A value that some source has; a smaller ``rank`` goes first."""

    row: Setting
    rank: int
    source: str
    value: str = field(repr=False)
    ask: bool = False  # a flag without its value

    def label(self) -> str:
        """The setting and its source, for sentences."""
        where = _(self.source)
        if self.row.side == "line":  # nothing but its place on the command line has a name
            return f"{self.row.flag or self.row.word} ({where})"
        if self.source == _COMMAND:
            where += f", {self.row.flag or self.row.word}"
        return f"{self.row.name} ({where})"

    def is_typed(self) -> bool:
        """Whether it is on this very command line."""
        return self.source == _COMMAND

    def parse(self) -> Any:
        """The value; raises ``SettingsError``."""
        try:
            self.value.encode("utf-8")
            value = self.row.type(self.value)
        except UnicodeEncodeError:
            raise self.wrong(_("it is not valid UTF-8")) from None
        except ValueError as error:
            raise self.wrong(str(error)) from None
        return value

    def wrong(self, why: str) -> SettingsError:
        """The error that says which value of which source cannot be used, and why."""
        if self.row.secret or _MAY_HOLD_SECRETS.search(self.value):
            sentence = _("{setting} cannot be used: {why}.")
        else:
            sentence = _("{setting} cannot be {value}: {why}.")
        shown = self.value if len(self.value) <= _SHOWN_CHARS else self.value[:_SHOWN_CHARS] + "…"
        return SettingsError(sentence.format(setting=self.label(), value=repr(shown), why=why))


def first_line(path: str) -> str:
    """The first line of a file, without its end; raises ``OSError`` and ``UnicodeError``."""
    with open(path, "rb") as file:
        line = file.readline(_FILE_BYTES)
    return line.decode("utf-8-sig").rstrip("\r\n")


class Sources:
    """The places where values come from, first to last.

    ``dotenv`` notes what is made use of.
    """

    def __init__(
        self,
        args: Args,
        environ: Mapping[str, str],
        dotenv: Mapping[str, str],
        answers: Mapping[str, str] | None = None,
        read_line: Callable[[str], str] = first_line,
    ) -> None:
        self.args, self.environ, self.answers = args, environ, answers or {}
        self.dotenv = dotenv if isinstance(dotenv, Dotenv) else Dotenv(dotenv)
        self._ranked: list[tuple[str, Args | Mapping[str, str]]] = [
            (_PROMPT, self.answers),
            (_COMMAND, args),
            (_ENVIRONMENT, environ),
            (self.dotenv.name, self.dotenv),
        ]
        self._read_line = read_line
        self.entry: NamedServer | None = None
        self.dials: tuple[Address, ...] = ()  # whose names this machine looks up

    def with_answer(self, name: str, text: str) -> Sources:
        """These and one more answer, before anything is looked up."""
        answers = {**self.answers, name: text}
        return Sources(self.args, self.environ, self.dotenv, answers, self._read_line)

    def look_up_server(self) -> None:
        """Where ``CLIENT_SERVER`` is the name of an entry of ``servers.ini``, let that entry speak
        right after the source that names it.  Raises ``SettingsError``."""
        given = None if self.entry else self.find("CLIENT_SERVER")
        if given is None or (entry := named_server(given.value, self.environ)) is None:
            return
        self._use(given)
        rest, values = entry.named_by(self._ranked[given.rank][1])
        self._ranked[given.rank] = (given.source, rest)
        self._ranked.insert(given.rank + 1, (entry.source, values))
        self.entry = entry

    def find(self, name: str) -> SourceValue | None:
        """The first value that is not empty, or that may not be where it is."""
        return next(self.find_all(name), None)

    def find_all(self, name: str) -> Iterator[SourceValue]:
        """What ``find`` finds, and after it what sources of lower priority have."""
        for rank, (source, values) in enumerate(self._ranked):
            value = values.get(name)
            if value is True:
                yield SourceValue(ROWS[name], rank, source, "", ask=True)
            meant = source is _COMMAND and name in _NEVER_EMPTY
            if isinstance(value, str) and (value.strip() or meant):
                yield SourceValue(ROWS[name], rank, source, value)

    def answer(self, question: str, name: str) -> SourceValue | None:
        """What has been answered, as a value of a setting; None where nothing has been."""
        text = self.answers.get(question, "")
        return SourceValue(ROWS[name], 0, _PROMPT, text) if text.strip() else None

    def value(self, name: str) -> Any:
        """The setting's value, or its default (None where there is none)."""
        given = self.find(name)
        if given is None:
            return default(name)
        self._use(given)
        return given.parse()

    def typed(self, name: str) -> Any:
        """What the command line says of it, and nothing else may say; None where it says nothing.

        Raises ``SettingsError``.
        """
        value = self.args.get(name)
        if not isinstance(value, str):
            return None
        return SourceValue(ROWS[name], 1, _COMMAND, value).parse()

    def _use(self, given: SourceValue) -> None:
        if given.source == self.dotenv.name:
            self.dotenv.taken.add(given.row.name)

    def pass_over(self, names: tuple[str, ...]) -> None:
        """Something else has taken the place of these, whatever set them."""
        self.dotenv.taken.difference_update(names)

    def check_withheld(self, *names: str) -> None:
        """Raises ``SettingsError`` where a file asks for one of these strict settings in a part
        that is not taken, and nothing else gives it."""
        for name in names:
            if name in self.dotenv.withheld and self.find(name) is None:
                path, flag = self.dotenv.name, ROWS[name].flag
                raise SettingsError(_(STRICT[name]).format(path=path, setting=name, flag=flag))

    def choose(self, names: tuple[str, ...]) -> SourceValue | None:
        """The one of ``names`` that counts; two from the same source are an error."""
        found = [given for given in map(self.find, names) if given]
        first = min((given.rank for given in found), default=0)
        best = [given for given in found if given.rank == first]
        if len(best) > 1:
            raise conflict(best[0], best[1])
        return best[0] if best else None

    def secret(self, names: tuple[str, ...], required: bool = False) -> dict[str, Any]:
        """Text by field of what ``choose`` finds, read from its file where it names one; None
        where nothing does, or ``MissingSetting`` if it is ``required``."""
        texts = dict.fromkeys(ROWS[name].field for name in names)
        given = self.choose(names)
        if given is None:
            if required:
                raise missing(names)
            return texts
        if given.ask:
            raise missing((given.row.name,))
        return {**texts, given.row.field: self.text(given)}

    def text(self, given: SourceValue) -> str:
        """The text itself, read from its file where ``given`` names one.  Raises
        ``SettingsError``."""
        self._use(given)
        text = given.parse()
        if given.row.name.endswith(("_FILE", "-file")):
            try:
                text = self._read_line(text)
            except (OSError, UnicodeError) as error:
                raise given.wrong(reason(error)) from None
            if not text:
                raise given.wrong(_("the first line of that file is empty"))
        return str(text)

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Value by field of these settings, each of which stands for itself alone."""
        return {ROWS[name].field: self.value(name) for name in names}

    def plain(self, side: str) -> dict[str, Any]:
        """Value by field of all settings of a side but those of which one is chosen."""
        rows = (row for row in TABLE if row.side in (side, "both") and row.name not in GROUPED)
        return {**self.values(row.name for row in rows), "language": self.language()}

    def language(self) -> str:
        """The language to use; raises ``SettingsError`` if the one asked for is not there."""
        if chosen := self.value("CMD_CHAT_LANGUAGE"):
            return str(chosen)
        systems = i18n.from_locale(self.environ)
        return systems if systems in i18n.available() else i18n.DEFAULT

    def has_invite(self) -> bool:
        """Whether an invite link is set anywhere."""
        return any(self.find(name) for name in INVITES)


def conflict(one: SourceValue, other: SourceValue) -> SettingsError:
    """The error for two settings of which only one can count."""
    sentence = _("{one} and {other} are both set; keep one of them.")
    return SettingsError(sentence.format(one=one.label(), other=other.label()))


def missing(names: tuple[str, ...]) -> MissingSetting:
    """The error for settings of which one is needed; the first is the one to ask for."""
    ways = ", ".join(_way(ROWS[name]) for name in names)
    if len(names) == 1:
        sentence = _("A value is missing: set {settings}.")
    else:
        sentence = _("A value is missing: set one of {settings}.")
    asked = ROWS[names[0]]
    return MissingSetting(
        sentence.format(settings=ways), asked.name, _(QUESTIONS[asked.name]), asked.secret
    )


def _way(row: Setting) -> str:
    flag = row.flag or row.word
    if not flag:
        return row.name
    if row.side == "line":
        return _("{flag} on the command line").format(flag=flag)
    return _("{setting} ({flag} on the command line)").format(setting=row.name, flag=flag)
