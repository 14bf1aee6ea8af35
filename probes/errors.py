"""The errors that mean *we* failed, split by who must act.

A target that misbehaves is never an exception that leaves this package: it is data (`probes.records.Failure`).

    FleetError
    ├── OperatorError     settings, arguments, files: a person must change something (exit code 2)
    ├── DependencyError   something this host lacks or refuses: browser, disk, kernel feature (exit code 3)
    └── BugError          a rule of our own code was broken (exit code 3)

Raised everywhere, caught in the wiring (`console`) and in the supervisors, which record the run as inconclusive.
"""

from __future__ import annotations

__all__ = ["BugError", "DependencyError", "FleetError", "OperatorError"]


class FleetError(Exception):
    """One of our own failures, ready to be read by a person: what is wrong, where, what to do next.

    `what` is one sentence without a full stop; `where` names a file with line, a key or an argument and may be empty;
    `remedy` says what to type or change and may be empty.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}. {self.remedy}" if self.remedy else head


class OperatorError(FleetError):
    """Settings, arguments or files that a person must correct."""


class DependencyError(FleetError):
    """Something that this host lacks, refuses or ran out of."""


class BugError(FleetError):
    """A rule of our own code was broken; please report it."""
