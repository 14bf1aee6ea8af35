"""What an error says about the target, if it says anything: the line between a finding and a fault of ours.

Findings are `StepFailed`, errors that carry a `Failure` (the browser's), and Playwright's own errors out of a script that
drives a page by itself, unless Chromium is what failed. Refuses to judge anything else: a crash is described by `probes.outcome`.
Called by `probes.steps` and `probes.execute`.
"""

from __future__ import annotations

from probes.browser_failure import raise_if_ours
from probes.errors import DependencyError
from probes.outcome import bounded
from probes.records import Failure, FailureKind

__all__ = ["StepFailed", "carried_failure"]


class StepFailed(Exception):  # noqa: N818 - it reports what the target did, which is a finding and not an error of ours
    """The target broke a promise: the open step ends here, and with it the journey (unless the step may fail)."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def carried_failure(error: BaseException) -> Failure | None:
    """What the target did, when that is what the error reports; None when the error is ours.

    Of a group (a script that asks for several things at once) it is the first, if nothing else is in the group.
    """
    if isinstance(error, BaseExceptionGroup):
        carried = [carried_failure(member) for member in error.exceptions]
        return carried[0] if None not in carried else None
    failure = getattr(error, "failure", None)
    if isinstance(failure, Failure):
        return failure
    # By name, so that a probe that opens no browser need not load the library.
    if isinstance(error, Exception) and type(error).__module__.partition(".")[0] == "playwright":
        return page_failure(error)
    return None


def page_failure(error: Exception) -> Failure | None:
    """What a page did not do for a script that drives it through Playwright; None when Chromium itself failed."""
    try:
        raise_if_ours(error, "")
    except DependencyError:
        return None
    is_late = type(error).__name__ == "TimeoutError"
    message = bounded(" ".join(str(error).split()))
    return Failure(FailureKind.TIMEOUT if is_late else FailureKind.BROWSER, message, "timeout" if is_late else "page")
