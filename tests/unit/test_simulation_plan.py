"""Plans of simulated months: what a statement means for a slot, and what a plan may not say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.simulation_plan import Effect, Plan, decide, read_plan
from probes.errors import OperatorError
from slo.window import month_span

SEPTEMBER = month_span("2026-09")
FIRST = datetime(2026, 9, 1, tzinfo=UTC)


def plan_of(folder: Path, text: str) -> Plan:
    """The plan with this text."""
    file = folder / "plan.toml"
    file.write_text(text, encoding="utf-8")
    return read_plan(file)


def effect(plan: Plan, scenario: str, region: str, minute: int, seconds: int = 30) -> Effect:
    """What becomes of a slot in a minute of the month."""
    slot_at = FIRST + timedelta(minutes=minute, seconds=seconds)
    about = plan.statements_about(scenario, region)
    statement = decide(about, slot_at, SEPTEMBER, plan.regions.index(region))
    return statement.what if statement else Effect.PASS


def test_later_statements_overwrite_earlier_ones(tmp_path: Path) -> None:
    """Also back to passing."""
    plan = plan_of(
        tmp_path,
        """
        [[statement]]
        minutes = [[10, 20]]
        what = "fail"
        [[statement]]
        minutes = [[12, 14], [16, 17]]
        what = "missing"
        [[statement]]
        regions = ["us-east"]
        minutes = [[13, 14]]
        what = "pass"
        """,
    )
    seen = [effect(plan, "quote", "eu-west", minute) for minute in (9, 10, 12, 13, 14, 16, 17, 19, 20)]
    words = ["pass", "fail", "missing", "missing", "fail", "missing", "fail", "fail", "pass"]
    assert seen == [Effect(word) for word in words]
    assert effect(plan, "quote", "us-east", 13) is Effect.PASS


def test_a_residue_class_is_shifted_by_the_place_of_the_region(tmp_path: Path) -> None:
    """(minute + 700 x region) mod 1500 = 11, worked out by hand."""
    plan = plan_of(
        tmp_path,
        """
        [[statement]]
        what = "fail"
        residue = { mod = 1500, equals = 11, per_region = 700 }
        """,
    )
    failing = {
        region: [minute for minute in range(43_200) if effect(plan, "api-health", region, minute) is Effect.FAIL]
        for region in plan.regions
    }
    assert failing["eu-west"][:2] == [11, 1511]
    assert failing["us-east"][:2] == [811, 2311]
    assert failing["ap-south"][:2] == [111, 1611]
    assert {region: len(minutes) for region, minutes in failing.items()} == {
        "eu-west": 29,
        "us-east": 29,
        "ap-south": 29,
    }


def test_instants_are_half_open_and_scenarios_are_globs(tmp_path: Path) -> None:
    """The first second is in, the last is not; other scenarios are left alone."""
    plan = plan_of(
        tmp_path,
        """
        [[statement]]
        scenarios = ["cad-*"]
        from = 2026-09-01T01:00:00Z
        until = 2026-09-01T03:00:00+01:00
        what = "maintenance"
        """,
    )
    seen = [effect(plan, "cad-large", "eu-west", *at) for at in ((59, 59), (60, 0), (119, 59), (120, 0))]
    assert seen == [Effect.PASS, Effect.MAINTENANCE, Effect.MAINTENANCE, Effect.PASS]
    assert effect(plan, "quote", "eu-west", 60, 0) is Effect.PASS


@pytest.mark.parametrize(
    ("text", "where", "word"),
    [
        ("sed = 1", "plan.toml:1", "seed"),
        ("[[statement]]\nwhat = 'explode'", "plan.toml:2", "what"),
        ("[[statement]]\nwhat = 'slow'", "plan.toml:1", "times or median_ms"),
        ("[[statement]]\nwhat = 'fail'\ntimes = 3.0", "plan.toml:1", "slow"),
        ("[[statement]]\nwhat = 'fail'\nkind = 'internal'", "plan.toml:1", "inconclusive"),
        ("[[statement]]\nwhat = 'fail'\nminutes = [[5, 5]]", "plan.toml:1", "half-open"),
        ("[[statement]]\nwhat = 'fail'\nresidue = { mod = 5, equals = 5 }", "plan.toml:3", "below mod"),
        ("[[statement]]\nwhat = 'fail'\nfrom = 2026-09-01T00:00:00", "plan.toml:3", "from"),
        ("[[statement]]\nwhat = 'fail'\nscenarios = ['api-heath']", "plan.toml:3", "api-heath"),
        ("[[statement]]\nwhat = 'fail'\nregions = ['eu-wst']", "plan.toml:3", "eu-wst"),
        ("[journeys]\nfly = '1m'", "plan.toml:2", "fly"),
        ("[journeys]\nquote = '0.2s'", "plan.toml:2", "second"),
        ("regions = ['a', 'a']", "plan.toml:1", "once"),
        ("regions = [", "plan.toml", "TOML"),
    ],
)
def test_what_a_plan_may_not_say_is_refused_with_file_line_and_key(
    tmp_path: Path, text: str, where: str, word: str
) -> None:
    """A person can mend it without reading code."""
    with pytest.raises(OperatorError) as refusal:
        plan_of(tmp_path, text)
    assert where in refusal.value.where
    assert word in str(refusal.value) + refusal.value.remedy
