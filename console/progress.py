"""What a person sees while a run goes on, without disturbing what is being timed.

The event loop only leaves notes: appending to a deque and setting a few attributes. A thread looks four times a second,
builds one short line and writes it, so that a slow or paused terminal can never hold up the loop. A rich `Live` would hold
the interpreter lock for a thousand times as long (docs/adr/0017). On a terminal the last line is replaced in place; elsewhere
plain lines are printed. Refuses to print more than it was asked: `quiet` prints nothing. Handed to `probes.execute` as its
observer.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from collector.texts.figures import bytes_text, duration_text, printable, rate_text
from console.step_rows import MARKS, step_subject
from probes.clock import Clock
from probes.records import Attribute, Outcome, Run, Step

__all__ = ["Progress"]

_LOOK_EVERY_S = 0.25
_FALLBACK_COLUMNS = 80
_COLOURS = {Outcome.PASS: "\x1b[32m", Outcome.FAIL: "\x1b[1;31m", Outcome.INCONCLUSIVE: "\x1b[33m"}
_PLAIN = "\x1b[0m"
_CLEAR_LINE = "\r\x1b[2K"
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@dataclass(slots=True)
class _Present:
    """What is going on; written by the loop, read by the thread, one attribute at a time."""

    scenario: str = ""
    step: str = ""
    subject: str = ""
    step_started_ns: int = 0
    sent_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    outcome: Outcome | None = None


class Progress:
    """Observes runs (`probes.steps.RunObserver`) and prints; a context manager, because its thread must end.

    `each_step` prints a line for every step, else only for runs and for steps that failed.
    """

    def __init__(self, stream: IO[str], clock: Clock, *, quiet: bool = False, each_step: bool = True) -> None:
        self._stream = stream
        self._clock = clock
        self._quiet = quiet
        self._each_step = each_step
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._coloured = self._live and not os.environ.get("NO_COLOR")
        self._present = _Present()
        self._place = ""
        self._lines: deque[_Line] = deque()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._looks = 0
        self._last_sent = (0, 0)
        self._last_step_ns = -1

    def __enter__(self) -> Self:
        if not self._quiet:
            self._thread = threading.Thread(target=self._look_until_closed, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._closing.set()
            self._thread.join(timeout=2 * _LOOK_EVERY_S + 1)

    def announce(self, place: str) -> None:
        """Say which run of how many comes next: `run 3 of 59`."""
        self._place = place

    def say(self, text: str) -> None:
        """One line of plain words."""
        self._lines.append(_Line(text))

    def run_started(self, run_id: str, scenario: str) -> None:
        """A run begins."""
        self._present = _Present(scenario=scenario, step_started_ns=self._clock.monotonic_ns())
        self._last_step_ns = -1
        if self._each_step:
            self._lines.append(_Line(f"{scenario}  run {run_id}"))

    def step_started(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """A step begins."""
        present = _Present(scenario=self._present.scenario, step=name, step_started_ns=self._clock.monotonic_ns())
        present.subject = str(attributes.get("cad.part", ""))
        self._present = present

    def sent(self, sent_bytes: int, total_bytes: int) -> None:
        """Bytes of a body were taken by the kernel."""
        self._present.total_bytes = total_bytes
        self._present.sent_bytes = sent_bytes

    def step_finished(self, step: Step) -> None:
        """A step ended, or a check after its end changed its outcome."""
        again = step.started_ns == self._last_step_ns
        self._last_step_ns = step.started_ns
        if step.outcome is Outcome.PASS and (not self._each_step or again or step.cleanup):
            return
        reason = f"  {step.failure.kind.value}: {printable(step.failure.message)}" if step.failure else ""
        scenario = "" if self._each_step else f"{self._present.scenario}: "
        head = f"{scenario}{step.name:<14} {duration_text(step.duration_ns):>8}"
        name = f"  {MARKS[step.outcome]} {head}  {step_subject(step)}{reason}"
        self._lines.append(_Line(name.rstrip(), step.outcome))

    def run_finished(self, run: Run) -> None:
        """A run ended."""
        self._present = _Present()
        if not self._each_step:
            head = f"{MARKS[run.outcome]} {run.identity.scenario:<14} {duration_text(run.duration_ns):>8}"
            self._lines.append(_Line(f"{head}  {self._place}".rstrip(), run.outcome))

    def _look_until_closed(self) -> None:
        """The thread: print what has come in, then show what is going on."""
        closing = False
        while not closing:
            closing = self._closing.wait(_LOOK_EVERY_S)
            self._looks += 1
            try:
                self._write(closing=closing)
            except (OSError, ValueError):  # the terminal or the pipe is gone; the runs are not
                return

    def _write(self, *, closing: bool) -> None:
        pieces = []
        while self._lines:
            line = self._lines.popleft()
            pieces.append(f"{self._painted(line)}\n")
        if self._live:
            status = "" if closing else self._status()
            pieces = [_CLEAR_LINE, *pieces, status]
        if pieces:
            self._stream.write("".join(pieces))
            self._stream.flush()

    def _painted(self, line: _Line) -> str:
        if line.outcome is None or not self._coloured:
            return line.text
        return f"{_COLOURS[line.outcome]}{line.text}{_PLAIN}"

    def _status(self) -> str:
        """The one line that is replaced: `⠹ cad-large upload near-limit-step 31.2 of 49.9 MB 612 MB/s 0.2 s`."""
        present = self._present
        if not present.scenario:
            return ""
        now_ns = self._clock.monotonic_ns()
        words = [_SPINNER[self._looks % len(_SPINNER)], present.scenario, self._place, present.step, present.subject]
        words += self._upload_words(present, now_ns)
        words.append(duration_text(now_ns - present.step_started_ns))
        columns = _columns_of(self._stream)
        return " ".join(word for word in words if word)[: columns - 1]

    def _upload_words(self, present: _Present, now_ns: int) -> list[str]:
        sent, total = present.sent_bytes, present.total_bytes
        then_ns, sent_then = self._last_sent
        self._last_sent = (now_ns, sent)
        if not total or sent >= total:
            return []
        words = [f"{bytes_text(sent)} of {bytes_text(total)}"]
        if then_ns and sent > sent_then:
            words.append(rate_text((sent - sent_then) / (now_ns - then_ns) * 1e9))
        return words


def _columns_of(stream: IO[str]) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _FALLBACK_COLUMNS
    except (OSError, ValueError):
        return _FALLBACK_COLUMNS
