"""How a run ended: the rules that turn failures into an outcome, pure and in one place.

The first failing step that is not clean-up decides. What is ours (`aborted`, `internal`) makes the run inconclusive, and so
does a host that was unfit to measure, whatever was found: a fault of the probe is never charged to the platform.

Refuses clocks, I/O and logging. Called by `probes.steps` and `probes.execute`.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from probes.records import Failure, FailureKind, Fitness, Outcome, Step

__all__ = ["EXCESS_MARK_NS", "Verdict", "bounded", "decide", "describe_crash", "outcome_of_failure", "timing_marks"]

EXCESS_MARK_NS = 3_000_000

MAX_MESSAGE_LENGTH = 1000
FOREIGN_FOLDERS = (
    Path(__file__).parent,
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
NOTHING_SEEN = Failure(
    FailureKind.INTERNAL,
    "no step made a request, loaded a page or checked anything, so the run proves nothing (is an await missing?)",
    "nothing_seen",
)


def timing_marks(excess_ns: int, unstamped: int, in_vain: Collection[str] = ()) -> tuple[str, ...]:
    """What a reader must know of a run's HTTP times: off by more than 3 ms, not stamped by the kernel, vain tries in them."""
    marks = {
        "http-timing-excess": excess_ns > EXCESS_MARK_NS,
        "http-no-kernel-stamps": unstamped > 0,
        "http-addresses-in-vain": bool(in_vain),
    }
    return tuple(name for name, is_due in marks.items() if is_due)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a run, what it would be on a fit host, and the failure and step that decided."""

    outcome: Outcome
    raw_outcome: Outcome
    failure: Failure | None = None
    failed_step: str = ""


def outcome_of_failure(failure: Failure | None) -> Outcome:
    """Pass without a failure; inconclusive when it is ours; else fail."""
    if failure is None:
        return Outcome.PASS
    return Outcome.INCONCLUSIVE if failure.kind.is_ours else Outcome.FAIL


def decide(steps: Sequence[Step], ended_by: Failure | None, fitness: Fitness | None) -> Verdict:
    """The verdict over a run's steps; `ended_by` is what ended the script outside any step, if something did."""
    failure, failed_step = first_failure(steps)
    if failure is None:
        failure = ended_by
    if failure is None and not any(saw_something(step) for step in steps):
        failure = NOTHING_SEEN
    raw_outcome = outcome_of_failure(failure)
    unfit = fitness is not None and not fitness.is_fit
    return Verdict(Outcome.INCONCLUSIVE if unfit else raw_outcome, raw_outcome, failure, failed_step)


def saw_something(step: Step) -> bool:
    """True when the step holds anything that could have shown a fault of the target."""
    return not step.cleanup and bool(step.exchanges or step.pages or step.expectations)


def first_failure(steps: Sequence[Step]) -> tuple[Failure | None, str]:
    """The failure of the first step that failed, clean-up aside, and the step's name."""
    for step in steps:
        if step.failure is not None and not step.cleanup:
            return step.failure, step.name
    return None, ""


def describe_crash(error: BaseException, *, mask: Callable[[str], str] = str) -> Failure:
    """An unexpected error of a script or of our own code, with the file and line where a person should look first."""
    text = str(error)
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place = crash_place(error)
    message = f"{what} (at {place})" if place else what
    return Failure(FailureKind.INTERNAL, bounded(mask(message)), type(error).__name__)


def crash_place(error: BaseException) -> str:
    """`folder/file.py:line` of the script's innermost frame, and of the code below it that raised, if that is another."""
    frames = traceback.extract_tb(error.__traceback__)
    scripts = [frame for frame in frames if is_script(Path(frame.filename))]
    chosen = dict.fromkeys(place(frame) for frame in (*scripts[-1:], *frames[-1:]))
    return ", in ".join(chosen)


def place(frame: traceback.FrameSummary) -> str:
    """File and line without the folders of this machine."""
    path = Path(frame.filename)
    return f"{path.parent.name}/{path.name}:{frame.lineno}"


def is_script(path: Path) -> bool:
    """True for a file that a scenario's author may have written: neither this package's nor a library's."""
    return not path.name.startswith("<") and not any(folder in path.parents for folder in FOREIGN_FOLDERS)


def bounded(text: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    """The text as valid Unicode, cut to the limit with the number of characters that were left out."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters)"
