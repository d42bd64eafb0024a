"""``completion``: scripts that let bash, zsh and fish complete command lines of this program.

Made from the tables of subcommands and settings, with their help in the user's language. What a
value may be is offered where it is one of a few words, or the path of a file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import i18n
from cli.table import COMMANDS, Subcommand, flags
from i18n import _
from settings import ROWS, Setting, Sources, missing, started
from settings.types import file_path, language

SHELLS = ROWS["<SHELL>"].choices

_NAMES = ("cmd-chat", "cmd_chat.py", "cmd_chat.pyz")
# Whose values are names in servers.ini. Those are read by the shell itself, at each completion, and
# only if they hold nothing that it would expand.
_SERVERS = ("CLIENT_SERVER", "<SERVER>", "<TEXT>")  # a server, where nothing is searched for
_ENTRIES = r"/^\[DEFAULT\]/d;s/^[[:space:]]*\[\([A-Za-z0-9._-]*\)\].*/\1/p"
_EVERYWHERE = ("--help", "--version", *flags("CMD_CHAT_LANGUAGE"))


def chosen_shell(sources: Sources) -> str:
    """The shell that the command line names; raises ``SettingsError``, and ``MissingSetting``."""
    shell: str | None = sources.value("<SHELL>")
    if shell is None:
        raise missing(("<SHELL>",))
    return shell


def script(shell: str) -> str:
    """The script for one of ``SHELLS``."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _names() -> str:
    """What the program is called, between blanks."""
    own = started.name()
    return " ".join(dict.fromkeys([*_NAMES, *re.findall(r"\A[\w.-]+\Z", own, re.ASCII)]))


def _choices(row: Setting) -> str:
    """The words of which a value must be one, between blanks; empty if it may be others."""
    return " ".join(i18n.available() if row.type is language else row.choices)


def _takes_value(row: Setting) -> bool:
    """Whether the next word is its value."""
    return not row.implies and not row.optional


def _help(row: Setting) -> str:
    return _(row.flag_help or row.help)


def _rows(command: Subcommand) -> list[tuple[Setting, list[str]]]:
    return [(ROWS[name], flags(name)) for name in command.options]


# bash

_READ_ENTRIES = """\
_cmd_chat_servers() {{
    sed -n '{entries}' "${{XDG_CONFIG_HOME:-$HOME/.config}}/cmd-chat/servers.ini" 2>/dev/null
}}
"""

_BASH = """\
# Completion of CMD CHAT for bash: source <({name} completion bash)
{servers}_cmd_chat() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words= place=0 skip= i
    # "=" is a word of its own here.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    COMPREPLY=()
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            =) skip=1 ;;
            {values}) skip=1 ;;
            -*) skip= ;;
            *) [[ $skip ]] || ((place++)); skip= ;;
        esac
    done
    case $COMP_CWORD:${{COMP_WORDS[1]}} in
        1:*) words='{commands}' ;;
{cases}    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -F _cmd_chat {names}
"""


def _bash() -> str:
    rows = [pair for command in COMMANDS.values() for pair in _rows(command)]
    values = dict.fromkeys(flag for row, names in rows if _takes_value(row) for flag in names)
    names = _names()
    return _BASH.format(
        name=names.split()[0],
        servers=_READ_ENTRIES.format(entries=_ENTRIES),
        names=names,
        values="|".join(values),
        commands=" ".join([*COMMANDS, *_EVERYWHERE]),
        cases="".join(map(_bash_case, COMMANDS.values())),
    )


def _bash_case(command: Subcommand) -> str:
    arms: dict[str, list[str]] = {}
    for row, names in _rows(command):
        if _takes_value(row):
            words = f"words={_bash_words(row)}"
            does = "compopt -o default; return" if row.type is file_path else words
            arms.setdefault(does, []).extend(names)
    lines = [f"{'|'.join(names)}) {does} ;;" for does, names in arms.items()]
    options = ["--help", *(flag for _row, names in _rows(command) for flag in names)]
    lines.append(f"*) if [[ $cur == -* ]]; then words='{' '.join(options)}'")
    for place, name in enumerate(command.words):
        if (words := _bash_words(ROWS[name])) != "''":
            lines.append(f"   elif ((place == {place})); then words={words}")
    lines.append("   fi ;;")
    inside = "".join(f"                {line}\n" for line in lines)
    return f"        *:{command.name})\n            case $prev in\n{inside}            esac ;;\n"


def _bash_words(row: Setting) -> str:
    return "$(_cmd_chat_servers)" if row.name in _SERVERS else f"'{_choices(row)}'"


# zsh

_ZSH = """\
#compdef {names}
# Completion of CMD CHAT for zsh: a file _cmd_chat in a folder of $fpath, or, after compinit,
# source <({name} completion zsh)
{servers}_cmd_chat() {{
    if ((CURRENT == 2)); then
        local -a commands=({commands})
        _describe -t commands command commands
        _arguments {everywhere}
        return
    fi
    local command=$words[2]
    shift words
    ((CURRENT--))
    case $command in
{cases}    esac
}}
if [[ $funcstack[1] == _cmd_chat ]]; then
    _cmd_chat "$@"
else
    compdef _cmd_chat {names}
fi
"""


def _zsh() -> str:
    names = _names()
    commands = COMMANDS.values()
    spoken = (_quoted(f"{each.name}:{_zsh_text(_(each.summary))}") for each in commands)
    return _ZSH.format(
        name=names.split()[0],
        servers=_READ_ENTRIES.format(entries=_ENTRIES),
        names=names,
        commands=" ".join(spoken),
        everywhere=" ".join(_EVERYWHERE),
        cases="".join(map(_zsh_case, commands)),
    )


def _zsh_case(command: Subcommand) -> str:
    shown = _zsh_text(_("show this help message and exit"))
    lines = ["{-h,--help}" + _quoted(f"[{shown}]")]
    for row, names in _rows(command):
        value = f":{_zsh_text(row.word)}:{_zsh_action(row)}" if _takes_value(row) else ""
        first = f"({' '.join(names)})"
        for flag in names:
            sign = ("=" if flag.startswith("--") else "+") if value else ""
            lines.append(_quoted(f"{first}{flag}{sign}[{_zsh_text(_help(row))}]{value}"))
    for place, name in enumerate(command.words, 1):
        # "()" offers nothing; a message, as of options, would keep other options from being found.
        action = _zsh_action(ROWS[name]).strip() or "()"
        lines.append(_quoted(f"{place}:{_zsh_text(ROWS[name].word)}:{action}"))
    arms = "".join(f" \\\n                {line}" for line in lines)
    return f"        {command.name})\n            _arguments -S{arms} ;;\n"


def _zsh_text(text: str) -> str:
    return re.sub(r"([\\\[\]:])", r"\\\1", text)


def _zsh_action(row: Setting) -> str:
    if row.type is file_path:
        return "_files"
    if row.name in _SERVERS:
        return '{compadd -- ${(f)"$(_cmd_chat_servers)"}}'
    return f"({_choices(row)})" if _choices(row) else " "


# fish

_FISH = """\
# Completion of CMD CHAT for fish: {name} completion fish | source
function __cmd_chat_servers
    set -q XDG_CONFIG_HOME; or set -l XDG_CONFIG_HOME ~/.config
    sed -n '{entries}' $XDG_CONFIG_HOME/cmd-chat/servers.ini 2>/dev/null
end
function __cmd_chat_in
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = $argv[1]
end
for name in {names}
    complete -c $name -f
{lines}end
"""


def _fish() -> str:
    names = _names()
    lines = [_fish_line("__fish_use_subcommand", "-s h -l help")]
    lines.append(_fish_line("__fish_use_subcommand", "-l version"))
    chosen = "CMD_CHAT_LANGUAGE"
    lines.append(_fish_line("__fish_use_subcommand", _fish_option(ROWS[chosen], flags(chosen))))
    for command in COMMANDS.values():
        summary = f"-a {command.name} -d {_quoted(_(command.summary))}"
        lines.append(_fish_line("__fish_use_subcommand", summary))
        inside = f"__cmd_chat_in {command.name}"
        lines.append(_fish_line(inside, "-s h -l help"))
        lines += [_fish_line(inside, _fish_option(*pair)) for pair in _rows(command)]
        for place, name in enumerate(command.words):
            if words := _fish_words(ROWS[name]):
                first = f"not __fish_seen_subcommand_from {words}"
                if name in _SERVERS:
                    first = f"test (count (commandline -opc)) -eq {place + 2}"
                lines.append(_fish_line(f"{inside}; and {first}", f"-a {_quoted(words)}"))
    return _FISH.format(
        name=names.split()[0],
        names=names,
        entries=_ENTRIES.replace("\\", "\\\\"),
        lines="".join(lines),
    )


def _fish_line(condition: str, rest: str) -> str:
    return f"    complete -c $name -n {_quoted(condition)} {rest}\n"


def _fish_words(row: Setting) -> str:
    return "(__cmd_chat_servers)" if row.name in _SERVERS else _choices(row)


def _fish_option(row: Setting, names: Sequence[str]) -> str:
    parts = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in names]
    if row.type is file_path:
        parts.append("-r -F")
    elif _takes_value(row):
        parts.append(f"-x -a {_quoted(_fish_words(row))}")
    return " ".join([*parts, "-d", _quoted(_help(row))])


def _quoted(text: str) -> str:
    """In single quotes, for each of the three."""
    return "'" + text.replace("'", "'\\''") + "'"
