"""Objective files seen together: names, versions, presets, gaps; and what is hardly meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from slo.document import Entry, parse_text
from slo.document_text import Problem
from slo.doubts import alert_doubts, gap_doubts, name_doubts
from slo.objective_set import ObjectiveSet, join_entries
from tests.objective_texts import GAP, GAUGE, LATENCY, MAINTENANCE, MINUTES, PERIODIC, PRESET, later_version

AUTUMN = "2026-10-01T00:00:00Z"
WINTER = "2026-12-01T00:00:00Z"


def joined(*texts: str) -> tuple[ObjectiveSet, tuple[Problem, ...]]:
    """The files `0.yaml`, `1.yaml`, ... as one set; each of them is right by itself."""
    entries: list[Entry] = []
    for number, text in enumerate(texts):
        found, problems = parse_text(text, f"{number}.yaml")
        assert problems == ()
        entries += found
    return join_entries(entries, {})


def good_set(*texts: str) -> ObjectiveSet:
    """The same where nothing is wrong."""
    known, problems = joined(*texts)
    assert problems == ()
    return known


def only_problem(*texts: str) -> Problem:
    """The one thing that is wrong with the files together."""
    (problem,) = joined(*texts)[1]
    assert problem.remedy
    return problem


def test_everything_is_found_under_its_name_in_the_order_of_the_lines() -> None:
    """Whatever the order of the files."""
    known = good_set(PERIODIC, LATENCY, PRESET, MINUTES, GAUGE, GAP, MAINTENANCE)
    assert list(known.objectives) == ["api-uptime", "api-p95"]
    assert sorted(known.obligations) == ["backup-age", "backup-daily"]
    assert list(known.presets) == ["standard"]
    assert [window.name for window in known.maintenance] == ["sunday"]
    assert known.lines == {"1", "3", "17", "30"}


def test_an_old_window_keeps_the_version_that_was_in_force() -> None:
    """The first always was; a later one holds from its instant on, to the minute; the order of the files says nothing."""
    tighter = later_version(LATENCY, 3, WINTER).replace("value: 500", "value: 300")
    known = good_set(tighter, later_version(LATENCY, 2, AUTUMN), LATENCY)
    assert [one.version for one in known.objectives["api-p95"]] == [1, 2, 3]
    autumn = datetime(2026, 10, 1, tzinfo=UTC)
    in_force = [
        known.objectives_at(at)[0].version for at in (autumn - timedelta(minutes=1), autumn, autumn.replace(year=2027))
    ]
    assert in_force == [1, 2, 3]


def test_an_objective_that_comes_later_is_not_in_force_yet() -> None:
    """Nothing was promised before it."""
    known = good_set(later_version(LATENCY, 1, AUTUMN), later_version(PERIODIC, 1, AUTUMN))
    before = datetime(2026, 9, 30, 23, 59, tzinfo=UTC)
    assert known.objectives_at(before) == ()
    assert known.obligations_at(before) == ()
    assert [one.name for one in known.obligations_at(before + timedelta(minutes=1))] == ["backup-daily"]


@pytest.mark.parametrize(
    ("texts", "file", "key", "reason"),
    [
        ((LATENCY, LATENCY), "1.yaml:4", "metadata.name", "'api-p95' in version 1; the other is in 0.yaml:4"),
        ((LATENCY, PERIODIC.replace("backup-daily", "api-p95")), "1.yaml:4", "metadata.name", "two documents"),
        ((LATENCY, GAP.replace("phone", "api-p95")), "1.yaml:4", "metadata.name", "two documents"),
        ((PRESET, PRESET), "1.yaml:4", "metadata.name", "two alert presets"),
        ((MAINTENANCE, MAINTENANCE), "1.yaml:4", "metadata.name", "two maintenance windows"),
        ((LATENCY, later_version(LATENCY, 2, "")), "1.yaml:6", "fleet/effectiveFrom", "since when"),
        ((LATENCY, later_version(LATENCY, 2, WINTER), later_version(LATENCY, 3, AUTUMN)), "2.yaml:9", "From", "no later"),
        ((LATENCY, later_version(LATENCY, 2, AUTUMN), later_version(LATENCY, 3, AUTUMN)), "2.yaml:9", "From", "no later"),
        ((LATENCY, later_version(LATENCY, 2, AUTUMN).replace('line: "3"', 'line: "4"')), "1.yaml:7", "fleet/line", "is line 3"),
        ((MINUTES, later_version(MINUTES, 2, AUTUMN).replace("30d", "28d")), "1.yaml:32", "spec.timeWindow", "rolling 30d"),
        ((PERIODIC, later_version(GAUGE, 2, AUTUMN).replace("backup-age", "backup-daily")), "1.yaml:12", "duty", "as periodic"),
        ((LATENCY.replace('"1"\n', '"1"\n    fleet/alerts: loud\n'), PRESET), "0.yaml:9", "alerts", "no AlertPreset"),
        ((LATENCY, GAP.replace('"30"', '"3"')), "1.yaml:7", "fleet/line", "said to be measured"),
    ],
)  # fmt: skip
def test_files_that_contradict_each_other_are_refused_where_the_contradiction_stands(
    texts: tuple[str, ...], file: str, key: str, reason: str
) -> None:
    """The later file is to blame, and the other one is named."""
    problem = only_problem(*texts)
    assert (problem.where, problem.key.endswith(key)) == (file, True)
    assert reason in problem.reason


def test_a_preset_of_another_folder_may_be_handed_over() -> None:
    """One file is checked before it is put beside the presets."""
    (entry,), _ = parse_text(LATENCY.replace('"1"\n', '"1"\n    fleet/alerts: standard\n'), "x.yaml")
    presets = good_set(PRESET).presets
    assert join_entries([entry], presets)[1] == ()
    assert [problem.key for problem in join_entries([entry], {})[1]] == ["metadata.annotations.fleet/alerts"]


def test_lines_of_the_document_that_no_file_covers_are_told() -> None:
    """29 lines; one that is honestly not measured is covered."""
    (doubt,) = gap_doubts(good_set(LATENCY, GAP.replace('"30"', '"4"')))
    assert doubt.startswith("no file covers line 1, 2, 5, 6, ")
    assert ", 29 of the document" in doubt


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("0.999", []),
        ("0.95", ["the critical tier", "more than 72 % are bad"]),
        ("0.9", ["the critical tier", "can never fire", "the high tier", "more than 60 % are bad"]),
        (
            "0.8",
            ["the critical tier", "can never fire", "the high tier", "can never fire: it wants more than 120 % bad"],
        ),
    ],
)
def test_a_tier_that_can_never_fire_is_told(target: str, told: list[str]) -> None:
    """14.4 times 10 % is more than everything; from 5 % on tiers that want more than half are told too."""
    text = LATENCY.replace('"1"\n', '"1"\n    fleet/alerts: standard\n').replace("target: 0.95", f"target: {target}")
    doubts = " ".join(alert_doubts(good_set(text, PRESET)))
    assert doubts.count("tier of 'standard'") == sum(part.endswith("tier") for part in told)
    for part in told:
        assert part in doubts


def test_names_that_nothing_on_the_fleet_has_are_told() -> None:
    """A scenario, a step and a region; a scenario whose steps nobody can tell is given the benefit of the doubt."""
    regional = MINUTES.replace("steps: [api-health]", "steps: [api-helth]\n              regions: [mars]")
    known = good_set(regional, PERIODIC, LATENCY)
    steps = {"api-health": frozenset({"api-health"}), "odd": None}
    assert list(name_doubts(known, steps, ["eu-west"])) == [
        "api-uptime: no scenario of api-health has a step 'api-helth'",
        "api-uptime: the fleet has no region 'mars'; it stands in eu-west",
        "backup-daily: no scenario is called 'backups'",
    ]
