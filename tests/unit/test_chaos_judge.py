"""The judge of the exactly-once tests: what is lost, doubled, changed or invented does not pass by it."""

from __future__ import annotations

import pytest

from tests.chaos_journal import Story, read_story
from tests.chaos_judge import StoredEnding, judge

# Slot 2 is the last word of a killed life, slot 3 was begun in it and nothing more is known, slot 4 was begun twice.
JOURNAL = """\
life
start 0
start 1
end 0 missed h0
end 1 run h1
start 2
start 3
end 2 run h2
life
start 4
end 4 missed gone
life
start 4
end 4 run h4
done"""
GOOD = {0: ("missed", "h0"), 1: ("run", "h1"), 2: ("run", "h2"), 3: ("aborted", "x"), 4: ("run", "h4")}


def story() -> Story:
    """Of the journal above."""
    return read_story(JOURNAL.splitlines())


def problems(*changes: tuple[int, str, str], without: int = -1, more: tuple[int, ...] = ()) -> list[str]:
    """What the judge says of the good rows with these changes."""
    endings = {**GOOD, **{number: (how, sha256) for number, how, sha256 in changes}}
    rows = [StoredEnding("p", number, *endings[number]) for number in endings if number != without]
    rows += [StoredEnding("p", number, *endings.get(number, ("run", "x"))) for number in more]
    return judge({"p": story()}, rows, slots=5).problems


def test_a_journal_tells_what_was_made_last_and_what_is_in_doubt() -> None:
    """The last word of a killed life is in doubt, unless its slot was begun anew."""
    told = story()
    assert (told.lives, told.is_done, told.started, told.in_doubt) == (3, True, {0, 1, 2, 3, 4}, {2})
    assert {number: one.sha256 for number, one in told.made.items()} == {0: "h0", 1: "h1", 2: "h2", 4: "h4"}


@pytest.mark.parametrize("doubtful", [(2, "run", "h2"), (2, "aborted", "x")])
def test_what_arrived_once_passes(doubtful: tuple[int, str, str]) -> None:
    """Also the run that was cut off between journal and outbox, whichever way that went."""
    assert problems(doubtful) == []


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (problems(without=1), "p 1: lost: it has no ending"),
        (problems(without=2), "p 2: lost: it has no ending"),
        (problems(without=3), "p 3: lost: it has no ending"),
        (problems((1, "aborted", "x")), "p 1: lost: run was made, aborted is stored"),
        (problems((0, "aborted", "x")), "p 0: lost: missed was made, aborted is stored"),
        (problems((1, "run", "h9")), "p 1: changed: h1 was made, h9 is stored"),
        (problems((2, "run", "h9")), "p 2: changed: h2 was made, h9 is stored"),
        (problems((4, "missed", "gone")), "p 4: lost: run was made, missed is stored"),
        (problems((3, "run", "h3")), "p 3: invented: run, and its producer made nothing of it"),
        (problems(more=(1,)), "p 1: stored 2 times"),
        (problems(more=(9,)), "p 9: stored, and nobody made it"),
    ],
)
def test_every_fault_is_named(said: list[str], fault: str) -> None:
    """One change to the good rows, one problem."""
    assert said == [fault]


def test_a_probe_that_did_not_do_its_work_is_no_proof() -> None:
    """Rows that agree with a journal that is too short prove nothing."""
    rows = [StoredEnding("p", number, *ending) for number, ending in GOOD.items()]
    assert judge({"p": story()}, rows, slots=6).problems == ["p began 5 of 6 slots"]
