"""Several views side by side on the screens of people: what is seen of each, and of the others."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from client import events
from client.events import Event
from client.fullscreen import scrollback
from client.fullscreen.bar import bar
from client.fullscreen.scrollback import CLOSED, Scrollbacks
from client.input.editor import LineView
from client.output.charset import Charset
from client.output.lines import Minimal
from client.output.shown_views import ShownViews, ViewSummary, next_with_news
from client.views import PersonTarget
from tests.console_kit import NOON
from tests.test_rich_view import message
from tests.view_kit import Watched, private, view, views


@pytest.fixture(name="sight")
def sight_fixture() -> Watched:
    return Watched(100, 18).opens("default", "lab", "ops*")


# Where things are seen


def test_each_view_has_its_own_conversation(sight: Watched) -> None:
    sight.hears("in the first")
    sight.hears("in the second", room="LAB")
    sight.takes(events.MemberJoined("ops", "carol"))
    sight.takes(events.Unreadable("lab", "dave", 7, "damaged"))
    assert sight.texts() == ["in the first"]
    seen = sight.shows("lab")
    assert seen[:2] == ["new", "in the second"] and seen[2].startswith("A message from dave")
    assert sight.shows("ops*") == ["carol has joined."]
    assert sight.lines()[-1] == " ops*>"


def test_what_is_of_no_room_is_told_where_one_looks(sight: Watched) -> None:
    sight.shows("lab")
    sight.takes(events.Notice("a notice"))
    sight.takes(events.Disconnected("lost"))
    sight.takes(events.RoomList((events.RoomView("default", 2),)))
    assert sight.texts()[0] == "a notice" and len(sight.texts()) == 4
    assert sight.shows("default") == []


def test_answers_are_told_where_one_asks_and_say_of_which_room(sight: Watched) -> None:
    """In a person's view `/who` is about the room that was shown before."""
    sight.shows("@bob", "default", "lab", "ops*", "@bob")
    for answer in (
        events.MemberList("lab", ()), events.Verification("lab", "1 2", ()),
        events.Invite("cmdchat://x", "lab"), events.Error("gone", "No.", room="lab"),
        events.NickVerified("bob", "lab"),
    ):  # fmt: skip
        sight.takes(answer)
    text = "\n".join(sight.texts())
    for part in (
        "Room lab, 0 members:", "Code of room lab:", "[lab] This link", "[lab] Error: No.",
    ):  # fmt: skip
        assert part in text
    assert sight.shows("lab") == []
    sight.takes(events.Error("gone", "No.", room="lab"))
    assert sight.texts() == ["Error: No."]


def test_own_lines_stay_in_the_view_that_they_were_typed_for(sight: Watched) -> None:
    sight.says(1, "for default")
    sight.shows("lab")
    sight.says(2, "for lab")
    assert sight.texts() == ["for lab  sending…"]
    sight.settles(1, message("for default", "alice", mine=True))
    sight.settles(2, events.NotSent("lab", "for lab", "too_long"))
    assert sight.texts()[0] == "for lab" and "! not sent" in sight.texts()[1]
    assert sight.shows("default") == ["for default"]
    assert sight.bar() == "[1 default] 2 lab  3 ops*"


def test_a_line_that_was_refused_elsewhere_is_noticed(sight: Watched) -> None:
    sight.says(1, "for default")
    sight.shows("lab")
    sight.settles(1, events.NotSent("default", "for default", "too_many"))
    assert sight.bar() == "1 default!1 [2 lab] 3 ops*"


def test_people_have_a_view_of_their_own(sight: Watched) -> None:
    sight.takes(views("default", "lab", "ops*", "@bob", shown="default"))
    sight.takes(private("psst"))
    sight.takes(events.Sending(1, "default", "what?", "text", "bob", view("@bob").key))
    assert sight.texts() == []
    assert sight.shows("@bob", "default", "lab", "ops*", "@bob") == [
        "new", "psst", "what?  sending…"
    ]  # fmt: skip
    assert "bob ┃ psst" in sight.lines()[-4], "nobody needs telling there that it is private"
    sight.settles(1, private("what?", "alice", mine=True, to="bob", view=view("@bob").key))
    assert sight.texts()[-1] == "what?" and sight.lines()[-1] == " @bob>"


def test_a_private_message_in_a_room_says_that_it_is(sight: Watched) -> None:
    sight.takes(private("psst", view=None))
    assert sight.texts() == ["to you alone: psst"]


def test_the_end_of_a_room_is_read_in_the_next_one(sight: Watched) -> None:
    sight.shows("lab")
    sight.takes(events.Error("kicked", "Out.", room="lab"))
    sight.takes(events.RoomLeft("lab"))
    assert sight.shows("default", "default", "ops*") == [
        "[lab] Error: Out.", "You have left room lab."
    ]  # fmt: skip
    sight.takes(events.RoomLeft("ops"))
    assert sight.shows("default", "default")[2:] == ["You have left room ops."], "and once"


def test_a_room_that_was_never_entered_is_not_said_to_be_left(sight: Watched) -> None:
    sight.shows("new", "default", "lab", "ops*", "new")
    sight.takes(events.Error("too_fast", "Too many.", room="new"))
    sight.takes(events.RoomLeft("new"))
    assert sight.shows("default", "default", "lab", "ops*") == ["[new] Error: Too many."]


def test_going_to_another_room_says_what_was_left_there(sight: Watched) -> None:
    """The one that roams: shown at once, entered later, and only then the other one is left."""
    sight.shows("new", "default", "lab", "ops*", "new")
    sight.takes(events.RoomLeft("default"))
    sight.takes(views("lab", "ops*", "new", shown="new"))
    sight.takes(events.RoomEntered("new", ()))
    assert sight.texts()[:2] == [
        "You have left room default.", "You are now in room new: 0 members."
    ]  # fmt: skip


# What is new


def test_what_is_new_elsewhere_is_counted_until_it_is_shown(sight: Watched) -> None:
    assert sight.bar() == "[1 default] 2 lab  3 ops*"
    sight.hears("one", room="lab")
    sight.hears("two", room="lab")
    sight.hears("look, alice", room="ops")
    sight.takes(events.MemberJoined("lab", "carol"))
    assert sight.bar() == "[1 default] 2 lab+2  3 ops*!1"
    assert sight.model.unread() == 3
    sight.shows("lab")
    assert sight.bar() == "1 default [2 lab] 3 ops*!1" and sight.model.unread() == 1
    sight.hears("three", room="lab")
    assert sight.model.unread() == 1, "it was seen"
    sight.model.focused = False
    sight.hears("four", room="lab")
    assert sight.bar() == "1 default [2 lab+1] 3 ops*!1" and sight.model.unread() == 2


def test_the_line_above_what_is_new_is_gone_once_it_was_read_and_left(sight: Watched) -> None:
    sight.hears("old", room="lab")
    sight.shows("lab")
    assert sight.shows("default") == []
    assert sight.shows("lab") == ["old"]
    sight.shows("default")
    sight.hears("newer", room="lab")
    assert sight.shows("lab") == ["old", "new", "newer"]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (events.Warning("transcript", "bob", "Look out.", room="lab"), "2 lab!1"),
        (events.Warning("other_keys", "bob", "Other keys.", room="lab"), "2 lab"),
        (events.Warning("other_keys", "bob", "Other keys.", True, "lab"), "2 lab!1"),
        (events.Missed("lab", 7), "2 lab+1"),
        (private("psst"), "4 @bob!1"),
        (message("mine", "alice", mine=True, room="lab"), "2 lab"),
    ],
)
def test_what_else_is_noticed_elsewhere(sight: Watched, event: Event, told: str) -> None:
    sight.takes(views("default", "lab", "ops*", "@bob", shown="default"))
    sight.takes(event)
    assert told in re.split(r"[\[\]] ?|  ", sight.bar())
    assert f"{told}+" not in sight.bar() and f"{told}!" not in sight.bar()


def test_who_is_called_in_another_view_is_told_though_somebody_looks(sight: Watched) -> None:
    sight.model.focused = True
    assert sight.hears("alice?") is None
    alert = sight.hears("alice?", room="lab")
    assert alert is not None and alert.text == "bob has mentioned you in lab"
    assert sight.hears("nothing", room="lab") is None
    sight.takes(events.Notifying("all"))
    alert = sight.hears("nothing", room="lab")
    assert alert is not None and alert.text == "bob has written in lab"


# Where one is in each


def test_each_view_keeps_how_far_up_somebody_is(sight: Watched) -> None:
    for number in range(40):
        sight.hears(f"d{number}")
        sight.hears(f"l{number}", room="lab")
    sight.lines()
    sight.view.page(-1)
    up = sight.texts()
    assert "d39" not in up
    assert sight.shows("lab")[-1] == "l39"
    sight.hears("l40", room="lab")
    assert sight.texts()[-1] == "l40"
    sight.hears("d40")
    assert sight.shows("default") == up and "↓ 14 more" in sight.lines()[-1]
    assert "[1 default+1]" in sight.bar(), "one looks, but not at the end"
    sight.view.to_end()
    assert sight.texts()[-1] == "d40" and "[1 default]" in sight.bar()


def test_each_view_keeps_its_search(sight: Watched) -> None:
    for number in range(30):
        sight.hears(f"d{number} {'needle' if number == 3 else 'hay'}")
        sight.hears(f"l{number} hay", room="lab")
    sight.lines()
    sight.view.entered()
    sight.view.find("needle")
    found = sight.texts()
    assert "d3 needle" in found and "hit 1 of 1" in sight.lines()[-1]
    assert sight.shows("lab")[-1] == "l29 hay" and "hit" not in sight.lines()[-1]
    assert sight.shows("default") == found and "hit 1 of 1" in sight.lines()[-1]
    sight.takes(events.Cleared())
    sight.view.forget()
    assert "hit" not in sight.lines()[-1] and sight.body() == []


def test_places_are_kept_for_views_that_are_remembered(sight: Watched) -> None:
    for number in range(CLOSED + 40):
        sight.shows(f"room{number}", f"room{number}")
    assert len(sight.view._places) <= CLOSED + 2
    assert len(sight.model.scrollbacks._logs) <= CLOSED + 1


# What is kept


def test_no_view_takes_what_another_one_keeps() -> None:
    """Of all together the fullest one loses its oldest; what is no view any more goes first."""
    sight = Watched(60, 40)
    sight.model.scrollbacks = logs = Scrollbacks(most=10, characters=1000)
    sight.opens("default", "lab", "old")
    for number in range(4):
        sight.hears(f"d{number}")
        sight.hears(f"o{number}", room="old")
    sight.takes(views("default", "lab", shown="default"))
    for number in range(20):
        sight.hears(f"l{number}", room="lab")
    assert not logs.log(view("old").key).settled
    assert sight.texts() == ["d0", "d1", "d2", "d3"]
    assert [each.content.text for each in logs.log(view("lab").key).settled] == [
        f"l{number}" for number in range(14, 20)
    ]
    sight.hears("x" * 995, room="lab")
    assert sight.texts() == ["d0", "d1", "d2", "d3"][-len(sight.texts()) :]
    assert sum(log.size for log in logs._logs.values()) == logs._size <= 1000
    assert scrollback.ENTRIES == 5000


def test_sizes_are_kept_right_when_views_go() -> None:
    logs = Scrollbacks()
    sight = Watched(60, 14)
    sight.model.scrollbacks = logs
    for number in range(CLOSED + 10):
        sight.opens(f"room{number}")
        sight.hears("text", room=f"room{number}")
    assert logs._size == sum(log.size for log in logs._logs.values())
    assert logs._count == sum(len(log.settled) for log in logs._logs.values())


# Header, prompt and bar


def test_the_header_says_what_is_shown(sight: Watched) -> None:
    sight = Watched(90, 14).opens("default", "lab", "ops*")
    assert sight.lines()[0].startswith(" default · 2 members · end-to-end, new 1  ")
    sight.shows("lab")
    assert sight.lines()[0].startswith(" lab · 3 members · end-to-end, verified 2  ")
    sight.shows("ops*")
    assert sight.lines()[0].startswith(" ops* · with a secret · 3 members · end-to-end, ")
    narrow = Watched(40, 10).opens("ops*", "lab")
    assert narrow.lines()[0].startswith(" ops* · ") and narrow.lines()[-1] == " ops*>"


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        ("verified", "to one alone · end-to-end, verified"), ("known", "end-to-end, known"),
        ("new", "end-to-end, new, not verified"), ("", "@bob · not here now"),
    ],
)  # fmt: skip
def test_the_header_of_a_person(standing: str, said: str) -> None:
    sight = Watched(90, 14).opens("default")
    bob = view("@bob")
    assert isinstance(bob, PersonTarget)
    bob = replace(bob, standing=standing)
    sight.takes(events.Views((view("default"), bob), bob))
    assert said in sight.lines()[0]


def summaries(*names: str) -> list[ViewSummary]:
    """Such as ``lab+3`` and ``ops!2``."""
    found = []
    for number, name in enumerate(names, 1):
        name, _mark, calls = name.partition("!")
        name, _mark, new = name.partition("+")
        new = new or calls
        found.append(ViewSummary(number, view(name), int(new or 0), int(calls or 0)))
    return found


def barred(names: list[str], shown: str, columns: int, encoding: str = "utf-8") -> str:
    """What the bar shows of them."""
    found = summaries(*names)
    line = bar(found, view(shown).key, columns, Charset(encoding))
    text = [" "] * columns
    for piece in line:
        for at, char in enumerate("".join(span.text for span in piece.spans)):
            assert text[piece.column + at] == " ", "nothing is written twice"
            text[piece.column + at] = char
    return "".join(text)


def test_one_view_needs_no_bar() -> None:
    assert barred(["default"], "default", 20) == "─" * 20
    sight = Watched(60, 14).opens("default")
    assert sight.lines()[1] == "─" * 60


def test_the_bar_of_the_design() -> None:
    names = ["default", "lab+3", "ops!1", "@bob!2"]
    assert barred(names, "default", 60) == (
        "[1 default] 2 lab+3  3 ops!1  4 @bob!2  " + "─" * 20
    )
    assert barred(names, "ops", 40).rstrip("─ ") == " 1 default  2 lab+3 [3 ops!1] 4 @bob!2"
    assert barred(names, "lab", 40, "ascii").isascii()


@pytest.mark.parametrize("columns", [20, 30, 40, 80])
def test_what_matters_is_cut_last(columns: int) -> None:
    """First whoever is called, then what is new, then the neighbours of the shown one."""
    names = [f"room-number-{number}" for number in range(16)]
    full = barred(names, names[7], columns)
    assert "[8" in full and " 9" in full and full.rstrip("─ ").endswith("…")
    assert ("[8 room-nu…]" in full) == (columns > 20)
    names[3] += "!3"
    names[1] += "+4"
    shown = names[7]
    text = barred(names, shown, columns)
    assert "[8" in text and "4" in text and "!3" in text and "+4" in text, text
    assert ("4 room-nu…!3" in text) == (columns > 30)
    assert len(text) == columns


def test_all_numbers_are_there_if_they_fit() -> None:
    names = [f"room-number-{number}" for number in range(12)]
    text = barred(names, names[0], 60)
    numbers = [word for word in re.split(r"[\[\] ]+", text) if word.isdigit()]
    assert numbers == [str(number) for number in range(1, 13)]


def test_names_from_elsewhere_do_nothing_in_a_bar() -> None:
    sight = Watched(60, 14).opens("default", "\x1b[2J\u202eevil\n")
    sight.draws()
    assert "evil" in sight.lines()[1] and "\x1b[2J" not in sight.written


# Who cannot read what


def test_own_lines_that_others_cannot_read_are_marked(sight: Watched) -> None:
    sight.shows("lab")
    sight.hears("before", "alice", room="lab", mine=True)
    sight.takes(events.Unreadable("lab", "carol", 7, "secret"))
    sight.hears("mine", "alice", room="lab", mine=True)
    sight.hears("elsewhere", "alice", mine=True)
    mark = "! those who have the room's secret cannot read this"
    assert sight.texts()[0] == "before" and sight.texts()[-2:] == ["mine", mark]
    words = " ".join(" ".join(sight.texts()).split())
    assert "give it with /room lab SECRET." in words
    assert sight.shows("default") == ["elsewhere"]
    sight.shows("lab")
    sight.hears("that opened", "bob", room="lab")
    sight.hears("mine again", "alice", room="lab", mine=True)
    assert sight.texts()[-1] == "mine again"


def test_so_are_those_of_who_has_a_secret(sight: Watched) -> None:
    sight.shows("ops*")
    sight.takes(events.Unreadable("ops", "carol", 7, "secret"))
    sight.hears("mine", "alice", room="ops", mine=True)
    assert sight.texts()[-1] == "! those who use another secret, or none, cannot read this"


@pytest.mark.parametrize(
    "event",
    [
        views("default", "lab*", "ops*", shown="default"), events.RoomEntered("lab", ()),
        message("I read you", room="lab"),
    ],
)  # fmt: skip
def test_with_a_secret_they_are_marked_no_more(sight: Watched, event: Event) -> None:
    sight.takes(events.Unreadable("lab", "carol", 7, "secret"))
    sight.takes(event)
    sight.hears("mine", "alice", room="lab", mine=True)
    assert sight.shows("lab")[-1] == "mine"


@pytest.mark.parametrize(
    "event",
    [
        events.Unreadable("lab", "carol", 7, "damaged"), events.Unreadable("ops", "x", 7, "secret"),
        views("default", "lab", "ops*", shown="lab"),
    ],
)  # fmt: skip
def test_other_things_mark_nothing_and_end_nothing(sight: Watched, event: Event) -> None:
    sight.takes(event)
    sight.hears("mine", "alice", room="lab", mine=True)
    assert sight.shows("lab")[-1] == "mine"
    sight.takes(events.Unreadable("lab", "carol", 8, "secret"))
    sight.takes(event)
    sight.hears("mine", "alice", room="lab", mine=True)
    assert sight.texts()[-1].startswith("! those who")


# Which one comes next


@pytest.mark.parametrize(
    ("names", "shown", "found"),
    [
        (["a", "b+1", "c!1", "d"], "a", "c"), (["a", "b+1", "c", "d+1"], "a", "b"),
        (["a", "b+1", "c", "d+1"], "c", "d"), (["a!1", "b!1", "c"], "b", "a"),
        (["a!1", "b!1", "c!1"], "b", "c"), (["a!5", "b"], "a", None), (["a", "b"], "a", None),
        (["a+1", "b", "@c!1"], "b", "@c"),
    ],
)  # fmt: skip
def test_the_next_with_something_new(names: list[str], shown: str, found: str | None) -> None:
    wanted = None if found is None else view(found)
    assert next_with_news(summaries(*names), view(shown).key) == wanted


def test_without_a_word_of_views_there_is_the_one_that_was_entered() -> None:
    seen = ShownViews()
    seen.take(events.Connected("h:1", "alice", "default", ()))
    seen.take(events.RoomEntered("dev", ()))
    assert seen.views == (view("dev"),) and seen.name == "dev"
    seen.take(views("default", "dev", shown="default"))
    seen.take(events.RoomEntered("lab", ()))
    assert seen.name == "default"


# Plain lines


class Plain:
    """What the minimal renderer writes."""

    def __init__(self, spoken: bool = False) -> None:
        self.lines = Minimal(spoken=spoken)
        self.tells(
            views("default", "lab", "ops*", shown="default"),
            events.Connected("here:1000", "alice", "default", ()),
        )

    def tells(self, *happened: Event) -> list[str]:
        lines = [line for each in happened for line in self.lines.lines(each, NOON, 80)]
        return [line.removeprefix("▌ ").removeprefix("12:01 ") for line in lines]


@pytest.mark.parametrize("spoken", [False, True])
def test_lines_of_other_rooms_begin_with_the_room(spoken: bool) -> None:
    plain = Plain(spoken)
    assert plain.tells(
        message("hello"), message("hello", room="lab"), message("waves", room="lab", kind="action"),
        events.MemberJoined("ops", "carol"), private("psst"),
        message("mine", "alice", room="lab", mine=True), events.Error("gone", "No.", room="lab"),
        events.NotSent("lab", "mine", "too_many"),
    )[:7] == [
        "bob: hello", "[lab] bob: hello", "[lab] * bob waves", "[ops] · carol has joined.",
        "@ bob, to you alone: psst", "[lab] alice: mine", "[lab] ! Error: No.",
    ]  # fmt: skip
    plain.tells(views("default", "lab", "ops*", "@bob", shown="lab"))
    assert plain.tells(message("hello", room="LAB"), message("hello")) == [
        "bob: hello", "[default] bob: hello"
    ]  # fmt: skip
    plain.tells(views("default", "lab", "ops*", "@bob", shown="@bob"))
    assert plain.tells(message("hello", room="lab"), private("psst")) == [
        "[lab] bob: hello", "@ bob, to you alone: psst"
    ]  # fmt: skip


def test_what_names_its_room_itself_does_it_once() -> None:
    plain = Plain()
    for event in (
        events.RoomEntered("lab", ()), events.RoomLeft("lab"), events.Missed("lab", 3),
        events.MemberList("lab", ()), events.Verification("lab", "1", ()),
    ):  # fmt: skip
        assert not plain.tells(event)[0].startswith("["), event


def test_the_prompt_names_what_is_typed_for() -> None:
    plain = Plain()
    prompts = []
    for shown in ("default", "ops*", "@bob"):
        plain.tells(views("default", "lab", "ops*", "@bob", shown=shown))
        prompts.append(plain.lines.prompt())
    assert prompts == ["default> ", "ops*> ", "@bob> "]
    early = Minimal()
    early.lines(views("default", shown="default"), NOON, 80)
    assert early.prompt() == "" and early.shown == view("default").key


def test_plain_lines_count_what_is_new_elsewhere_too() -> None:
    plain = Plain()
    plain.tells(message("a"), message("b", room="lab"), message("alice!", room="ops"))
    assert plain.lines.summaries == tuple(summaries("default", "lab+1", "ops*!1"))
    plain.tells(views("default", "lab", "ops*", shown="lab"))
    assert plain.lines.summaries == tuple(summaries("default", "lab", "ops*!1"))


def test_plain_lines_mark_what_others_cannot_read() -> None:
    plain = Plain()
    plain.tells(events.Unreadable("default", "carol", 7, "secret"))
    assert plain.tells(message("mine", "alice", mine=True)) == [
        "alice: mine (those who have the room's secret cannot read this)"
    ]


@pytest.mark.parametrize("rooms", [("default", "lab"), ("lab", "default")])
def test_another_nickname_is_ones_own_in_all_rooms_and_said_once(rooms: tuple[str, ...]) -> None:
    plain = Plain()
    for old, new in ("alice", "ann"), ("ann", "alice"):
        told = plain.tells(*(events.MemberRenamed(room, old, new) for room in rooms))
        assert told == [f"· You are now known as {new}."]
    others = plain.tells(*(events.MemberRenamed(room, "bob", "rob") for room in rooms))
    assert sorted(others) == ["[lab] · bob is now known as rob.", "· bob is now known as rob."]


def test_another_nickname_is_said_in_the_view_of_a_person_too(sight: Watched) -> None:
    sight.shows("@bob", "default", "lab", "ops*", "@bob")
    for room in ("default", "lab"):
        sight.takes(events.MemberRenamed(room, "alice", "ann"))
    assert sight.texts() == ["You are now known as ann."]
    bob = view("@bob")
    sight.takes(events.Views((view("default"), bob), bob))
    rob = PersonTarget("rob", bob.key)
    sight.takes(events.Views((view("default"), rob), rob))
    assert sight.texts()[1:] == ["bob is now known as rob."] and sight.lines()[-1] == " @rob>"
    assert sight.shows("default", "default", "@bob") == ["You are now known as ann."]


def test_a_return_to_several_rooms(sight: Watched) -> None:
    sight.takes(events.Reconnected(False))
    assert sight.texts() == ["The connection is back; you have rejoined your rooms."]


def test_the_typed_line_is_that_of_the_view(sight: Watched) -> None:
    sight.typed = LineView("half a line", 4)
    sight.shows("@bob", "default", "@bob")
    assert sight.lines()[-1] == " @bob> half a line"
