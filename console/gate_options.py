"""The options of the release gate: what to exclude, at which risks, how long, and beside which baseline.

Parses and checks shapes; looks nothing up. Refuses what would make no test. Called by `console.command_line`; read by
`console.smoke_command`.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from probes.errors import OperatorError
from probes.registry import parse_duration_s
from slo.latency_test import Margin
from slo.release_gate import GateTerms

__all__ = ["GATE_OPTIONS", "GateOptions", "add_gate_options", "gate_options_of"]

_DAYS: Final = re.compile(r"([1-9]\d{0,2})d")
_SHARE: Final = re.compile(r"(\d{0,6}(?:\.\d{1,12})?)(?<=\d)\s?(%?)", re.ASCII)
_DEFAULTS: Final = GateTerms()
_MARGIN: Final = Margin()

GATE_OPTIONS: Final = (
    *("exclude", "usual", "alpha", "beta", "max_rounds", "max_time"),
    *("baseline", "beside", "margin", "slack", "concurrency", "html", "markdown"),
)
"""The names under which argparse keeps them; all belong to `smoke` alone."""


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What was asked of the gate.

    `baseline` names a target, which is run `beside` times in each round; `baseline_days` > 0: the collector's last days instead.
    """

    exclude: Fraction = _DEFAULTS.refused_bad
    usual: Fraction = _DEFAULTS.usual_bad
    alpha: Fraction = _DEFAULTS.false_alarm
    beta: Fraction = _DEFAULTS.false_pass
    most_rounds: int = _DEFAULTS.most_rounds
    most_time_s: float = 3600.0
    baseline: str = ""
    baseline_days: int = 0
    beside: int = 2
    margin: Margin = _MARGIN
    places: int = 2
    html_file: Path | None = None
    markdown_file: Path | None = None

    @property
    def has_baseline(self) -> bool:
        """True when latency is judged, too."""
        return bool(self.baseline or self.baseline_days)

    def terms(self) -> GateTerms:
        """The same for the gate itself."""
        margin = self.margin if self.has_baseline else None
        return GateTerms(self.usual, self.exclude, self.alpha, self.beta, self.most_rounds, margin)


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """The group of them."""
    group = parser.add_argument_group("the release gate (smoke)")
    group.add_argument("--exclude", metavar="SHARE", help="the failing share that must not get through; default 3%%")
    group.add_argument("--usual", metavar="SHARE", help="the failing share that is usual; default 0.1%%")
    group.add_argument("--alpha", metavar="SHARE", help="how often a good release may be failed; default 5%%")
    group.add_argument("--beta", metavar="SHARE", help="how often a bad one may be passed; default 5%%")
    group.add_argument("--max-rounds", metavar="N", help=f"per check; default {_DEFAULTS.most_rounds}")
    group.add_argument("--max-time", metavar="DURATION", help="begin no round after so long; default 1h")
    group.add_argument(
        "--baseline", metavar="TARGET|Nd", help="judge latency, too: beside a target, or the collector's last N days"
    )
    group.add_argument(
        "--beside", metavar="N", help="runs of a baseline target beside each of the candidate's, 1 to 3; default 2"
    )
    group.add_argument("--margin", metavar="SHARE", help="how much slower is good enough; default 25%%")
    group.add_argument("--slack", metavar="DURATION", help="or so much, where that is more; default 20ms")
    group.add_argument("--concurrency", metavar="N", help="how many scenarios at once, 1 to 8; default 2")
    group.add_argument("--html", type=Path, metavar="FILE", help="the report with its plots, one file")
    group.add_argument("--markdown", type=Path, metavar="FILE", help="a summary for a pull request")


def gate_options_of(found: argparse.Namespace) -> GateOptions | None:
    """The options; None when none was given. Raises OperatorError for what makes no test."""
    if all(getattr(found, name) is None for name in GATE_OPTIONS):
        return None
    default = GateOptions()
    baseline = found.baseline or ""
    days = _DAYS.fullmatch(baseline)
    options = GateOptions(
        exclude=_share(found.exclude, default.exclude, "--exclude"),
        usual=_share(found.usual, default.usual, "--usual"),
        alpha=_share(found.alpha, default.alpha, "--alpha"),
        beta=_share(found.beta, default.beta, "--beta"),
        most_rounds=_whole(found.max_rounds, default.most_rounds, "--max-rounds", most=100_000),
        most_time_s=_seconds(found.max_time, default.most_time_s, "--max-time"),
        baseline="" if days else baseline,
        baseline_days=int(days[1]) if days else 0,
        beside=_whole(found.beside, default.beside, "--beside", most=3),
        margin=Margin(
            _share(found.margin, default.margin.ratio, "--margin"),
            int(_seconds(found.slack, default.margin.slack_ns / 1e9, "--slack") * 1e9),
        ),
        places=_whole(found.concurrency, default.places, "--concurrency", most=8),
        html_file=found.html,
        markdown_file=found.markdown,
    )
    if options.usual >= options.exclude:
        raise OperatorError(
            f"--exclude {_percent(options.exclude)} is not above what is usual, {_percent(options.usual)}",
            where="--exclude",
            remedy="Exclude a larger share, or say with --usual how many rounds of a good release fail",
        )
    return options


def _share(text: str | None, default: Fraction, option: str) -> Fraction:
    """A share in (0, 1): `3%` or `0.03`; exact."""
    if text is None:
        return default
    found = _SHARE.fullmatch(text.strip())
    share = Fraction(found[1]) / (100 if found[2] else 1) if found else Fraction(0)
    if not 0 < share < 1:
        raise OperatorError(
            f"{text!r} is not a share between 0 and 1",
            where=option,
            remedy='Write "3%" or "0.03", above 0 and below 100%',
        )
    return share


def _whole(text: str | None, default: int, option: str, *, most: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= most) or len(text) > 9:
        raise OperatorError(f"must be a whole number from 1 to {most}, not {text!r}", where=option)
    return int(text)


def _seconds(text: str | None, default: float, option: str) -> float:
    return default if text is None else parse_duration_s(text, where=option)


def _percent(share: Fraction) -> str:
    return f"{float(share * 100):g} %"
