"""How a gate's release gets to the collector: after the report, and without any bearing on the gate's answer and exit code.

What must be right (name, address, token) is looked at before the first round. Then the release is a file before it is sent, and
the file goes when the collector has it. Called by `console.smoke_command`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from rich.text import Text

from collector.texts.figures import printable
from console.desk import Desk
from console.gate_story import GateStory, headline
from console.release_files import forget_release, keep_release
from console.release_options import ReleaseOptions
from console.release_origin import origin_of
from console.release_sending import CollectorApi, collector_of
from probes.errors import FleetError, OperatorError
from probes.outcome import bounded
from probes.release_marker import MOST_CAUSE, MOST_TARGET, ReleaseMarker, ReleaseOutcome, release_of
from slo.release_gate import ReleaseDecision

__all__ = ["Announcement", "announcement_of", "tell_of_gate"]

_CUT_WORDS: Final = 40
"""So long may be what says that a text was cut."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is to be told of a gate, and to whom; what the gate does not know yet is added at its end."""

    collector: CollectorApi
    draft: ReleaseMarker


def announcement_of(desk: Desk) -> Announcement | None:
    """What --release asks for; None without. OperatorError for a name, an address or a token that is none."""
    options = desk.arguments.release
    if options is None:
        return None
    if not options.name:
        remedy = "Name the release: --release 2026.11.3"
        raise OperatorError("nothing is announced without a release", where="--release", remedy=remedy)
    collector = collector_of(desk)
    if collector is None:
        remedy = "--announce https://fleet.example, or the setting releases.url"
        raise OperatorError("no collector is named to tell of the release", where="--announce", remedy=remedy)
    return Announcement(collector, _draft(desk, options))


def _draft(desk: Desk, options: ReleaseOptions) -> ReleaseMarker:
    origin = origin_of(desk.settings.environ)
    return release_of(
        {
            "name": options.name,
            "target": "not known yet",
            "began_at": desk.clock.now(),
            "environment": options.environment,
            "by": origin.by,
            "report_url": options.report_url or origin.url,
        },
        where="--release",
    )


async def tell_of_gate(desk: Desk, announcement: Announcement, story: GateStory) -> None:
    """Tell the collector how the gate ended. Whatever goes wrong is said, and the release kept for `releases send`."""
    marker = _marker_of(desk, announcement.draft, story)
    path = trouble = None
    try:
        path = keep_release(desk.settings.state_dir, marker)
    except FleetError as error:
        trouble = error
    # Somebody who wants to stop waits for one try, not for three.
    collector = replace(announcement.collector, tries=1) if desk.stop.asked() else announcement.collector
    try:
        is_new = await collector.tell(marker)
    except FleetError as error:
        _say(desk, f"The collector was not told of release {marker.name}: {error}")
        if path is not None:
            _say(desk, f"Tell it later: runner.py releases send {path} --announce {collector.url}")
        else:
            _say(desk, f"It could not be kept either: {trouble}")
        return
    if path is not None:
        forget_release(path)
    knows = "knows of" if is_new else "knew already of"
    desk.say(
        f"The collector {knows} release {printable(marker.name)} of {printable(marker.target)}: {marker.outcome.value}"
    )


def _say(desk: Desk, text: str) -> None:
    """Also where only the verdict is wanted: the person must know."""
    desk.console.print(Text(printable(text), style="yellow"), soft_wrap=True)


def _marker_of(desk: Desk, draft: ReleaseMarker, story: GateStory) -> ReleaseMarker:
    """The first line of the report without its answer is the cause; the target is what the runs say."""
    targets = Counter(one.run.target for one in story.runs if not one.is_baseline and one.run.target)
    target = targets.most_common(1)[0][0] if targets else story.target
    outcome = ReleaseOutcome(story.answer.value)
    if story.answer is ReleaseDecision.UNDECIDED and desk.stop.asked():
        outcome = ReleaseOutcome.INTERRUPTED
    cause = printable(headline(story).partition(": ")[2])
    return replace(
        draft,
        target=printable(target)[:MOST_TARGET],
        began_at=story.started_at,
        ended_at=max(story.started_at, desk.clock.now()),
        outcome=outcome,
        cause=bounded(cause, MOST_CAUSE - _CUT_WORDS),
    )
