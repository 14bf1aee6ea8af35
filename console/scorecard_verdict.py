"""What a scorecard makes of the exit code of `report`.

Refuses to judge a line (`slo` does). Called by `console.report_command`.
"""

from __future__ import annotations

from collector.scorecard import Scorecard
from collector.texts.scorecard_page import is_broken, says_something
from console.verdict import ExitCode

__all__ = ["exit_code_of"]


def exit_code_of(card: Scorecard) -> ExitCode:
    """1 when a promised line is breached, 3 when nothing at all can be said, else 0; a what-if breaches nothing."""
    if not any(says_something(line) for line in card.lines):
        return ExitCode.INCONCLUSIVE
    if card.asked.what_if is None and any(is_broken(line) for line in card.lines):
        return ExitCode.PLATFORM_FAILED
    return ExitCode.PASSED
