"""`slo rules`: the alert tiers of every line as rules for Prometheus, over the counters that the collector serves at `/metrics`.

Writes YAML to stdout, for a file that Prometheus loads. Refuses tiers that PromQL cannot say exactly: they are named in
comments, and the fleet's own alerts have them. Called by `console.slo_command`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import yaml

from collector.burn_history import fits_of
from console.desk import Desk
from console.objectives import BUILT_IN_OBJECTIVES, load_set
from console.verdict import ExitCode
from slo.objective_set import ObjectiveSet
from slo.prometheus_rules import rule_group

__all__ = ["rules_text", "show_rules"]

_HEADING: Final = """\
# Burn-rate alerts of the service levels, for Prometheus. Written by `runner.py slo rules`; write it again when objectives change.
# They fire and resolve at the same minutes as the fleet's own alerts: docs/explanation/burn-rates.md
"""
_WIDTH: Final = 1_000_000
"""Expressions stand on one line each, as they are compared by people and programs."""


async def show_rules(desk: Desk) -> ExitCode:
    """Print them; 0. Raises OperatorError for objectives that are wrong."""
    sys.stdout.write(rules_text(load_set(desk.settings.slo_dir or BUILT_IN_OBJECTIVES)))
    return ExitCode.PASSED


def rules_text(known: ObjectiveSet) -> str:
    """The file, by the newest version of each line that has alerts."""
    groups, left_out = [], []
    for name, versions in known.objectives.items():
        if not versions[-1].alerts:
            continue
        group = rule_group(name, fits_of(versions[-1], known.presets))
        if group.content["rules"]:
            groups.append(group.content)
        left_out += [f"#   {name}: {fit.tier.severity.value}" for fit in group.left_out]
    text = yaml.safe_dump({"groups": groups}, sort_keys=False, width=_WIDTH, allow_unicode=True)
    return "".join(_lines(text, left_out))


def _lines(text: str, left_out: list[str]) -> Iterator[str]:
    yield _HEADING
    if left_out:
        yield "# Tiers that a rule cannot say exactly, left to the fleet's own alerts:\n"
        yield "\n".join(left_out) + "\n"
    yield text
