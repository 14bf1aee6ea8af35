"""Which options go with which commands: what was typed and would be ignored is refused.

Refuses to judge the values. Called by `console.commands`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from console.arguments import Arguments
from console.gate_options import GATE_OPTIONS
from probes.errors import OperatorError

__all__ = ["check_owners"]

_WITH_DATABASE: Final = (
    *("fleet", "collector", "status", "export", "import", "simulate"),
    *("show", "slo", "maintenance", "rescore", "report", "smoke", "alerts", "releases"),
)
_MEASURES_HERE: Final = ("", "demo", "smoke", "soak", "replay")
_TOLD_TO_REGIONS: Final = "--seed"
_OPTIONS_OF_GATE: Final = ", ".join(f"--{name.replace('_', '-')}" for name in GATE_OPTIONS)

_Owned = tuple[str, object, tuple[str, ...]]


def check_owners(arguments: Arguments) -> None:
    """Raise OperatorError for the first option that the command would not look at."""
    for option, value, commands in (*_shared(arguments), *_of_fleet(arguments), *_of_levels(arguments)):
        if value and arguments.command not in commands:
            names = ", ".join(name or "--scenario" for name in commands)
            raise OperatorError(f"{option} goes with {names}", where=option)
    if arguments.command or not arguments.region:
        return
    for option, value, _ in (("--target", arguments.target, ()), *_shared(arguments)):
        if value and option != _TOLD_TO_REGIONS:
            raise OperatorError(
                f"{option} does not go with --region: the probes there run what they are asked for as they are set up",
                where=option,
                remedy="Leave it out, or leave out --region to measure from here",
            )


def _shared(arguments: Arguments) -> Iterator[_Owned]:
    yield "--json", arguments.json_file, ("", "status", "report", "slo", "alerts", "releases", "smoke", "soak")
    yield "--junit", arguments.junit_file, ("", "smoke", "soak")
    yield "--evidence", arguments.evidence_mode, _MEASURES_HERE
    yield "--evidence-dir", arguments.evidence_dir, _MEASURES_HERE
    yield "--repeat", arguments.repeat, ("",)
    yield "--every", arguments.every_s, ("", "fleet", "worker", "soak", "slo")
    yield "--seed", arguments.seed is not None, ("", "demo", "smoke", "soak")


def _of_fleet(arguments: Arguments) -> Iterator[_Owned]:
    yield "--region", arguments.region, ("", "worker", "smoke")
    yield "--for", arguments.for_s, ("fleet", "worker", "collector", "soak")
    yield "--exit-with-parent", arguments.with_parent, ("fleet", "worker", "collector")
    yield "--broker", arguments.broker, ("", "fleet", "worker", "collector", "smoke")
    yield "--database", arguments.database, _WITH_DATABASE
    yield "--last", arguments.last_s, ("status", "export", "alerts", "releases")
    yield "--certificate", arguments.certificate_file, ("broker-config",)
    yield "--key", arguments.key_file, ("broker-config",)
    yield "--client-authority", arguments.client_authority_file, ("broker-config",)


def _of_levels(arguments: Arguments) -> Iterator[_Owned]:
    alerts, release = arguments.alerts, arguments.release
    yield "--month", arguments.month, ("simulate",)
    yield "--plan", arguments.plan_file, ("simulate",)
    yield "--window", arguments.window, ("report", "slo")
    yield "--objective", arguments.objectives, ("report", "slo")
    yield "--format", arguments.format, ("report",)
    yield "--what-if", arguments.what_if, ("report",)
    yield "--check", arguments.check_only, ("rescore",)
    yield "--starts", arguments.starts, ("maintenance",)
    yield "--duration", arguments.duration_s, ("maintenance",)
    yield "--rrule", arguments.rrule, ("maintenance",)
    yield "--reason", arguments.reason, ("maintenance",)
    yield "--objectives", arguments.objective_globs, ("maintenance",)
    yield "--regions", arguments.region_globs, ("maintenance",)
    yield _OPTIONS_OF_GATE, arguments.gate, ("smoke", "soak")
    yield "--all, --channel", alerts and alerts.is_of_alerts, ("alerts",)
    yield "--by, --note", alerts and alerts.is_of_person, ("alerts", "releases")
    yield "--release", release and release.name, ("smoke",)
    yield "--at", release and release.at, ("releases",)
    yield "--announce, --environment, --report-url", release, ("smoke", "releases")
