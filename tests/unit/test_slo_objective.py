"""Objectives as they are read from OpenSLO mappings."""

from __future__ import annotations

import copy
import re
from fractions import Fraction
from typing import Any

import pytest

from slo.document_slo import parse_objective
from slo.fields import ObjectiveError
from slo.objective import EventKind, EventTime, Good

Document = dict[str, Any]

THRESHOLD: Document = {
    "apiVersion": "openslo/v1",
    "kind": "SLO",
    "metadata": {
        "name": "api-p95",
        "displayName": "API p95 < 500 ms",
        "annotations": {"fleet/line": "3", "fleet/version": "2"},
    },
    "spec": {
        "service": "api",
        "indicator": {
            "metadata": {"name": "api-p95"},
            "spec": {
                "thresholdMetric": {
                    "metricSource": {
                        "type": "fleet",
                        "spec": {
                            "event": "step",
                            "scenarios": ["*"],
                            "steps": ["price"],
                            "time": "response",
                            "unit": "ms",
                            "valid": {"part_bytes_below": 50_000_000},
                        },
                    }
                }
            },
        },
        "timeWindow": [
            {"duration": "1M", "calendar": {"startTime": "2026-01-01 00:00:00", "timeZone": "UTC"}, "isRolling": False}
        ],
        "budgetingMethod": "Occurrences",
        "objectives": [{"displayName": "fast", "op": "lt", "value": 500, "target": 0.95}],
    },
}


def ratio() -> Document:
    """The same document as a line without a limit."""
    document = copy.deepcopy(THRESHOLD)
    total = {"event": "request", "scenarios": ["*"], "steps": ["price"], "strict": True}
    document["spec"]["indicator"]["spec"] = {
        "ratioMetric": {
            "counter": True,
            "good": {"metricSource": {"type": "fleet", "spec": {"good": "answered"}}},
            "total": {"metricSource": {"type": "fleet", "spec": total}},
        }
    }
    document["spec"]["objectives"] = [{"displayName": "few errors", "target": 0.999}]
    return document


def test_a_threshold_line_is_read_exactly() -> None:
    """0.95 becomes 1/20 of bad events and 500 ms whole nanoseconds; the percentile is named after them."""
    objective = parse_objective(THRESHOLD)
    assert objective.allowed_bad == Fraction(1, 20)
    assert objective.limit_ns == 500_000_000
    assert objective.percentile == "p95"
    assert objective.time is EventTime.RESPONSE
    assert (objective.line, objective.version, objective.window.text) == ("3", 2, "calendar 1M UTC")
    assert objective.selector.part_bytes_below == 50_000_000


def test_a_ratio_line_has_no_limit() -> None:
    """It says what is good instead, and may be strict."""
    objective = parse_objective(ratio())
    assert objective.limit_ns is None
    assert objective.good is Good.ANSWERED
    assert objective.strict
    assert objective.selector.event is EventKind.REQUEST
    assert objective.allowed_bad == Fraction(1, 1000)


def test_a_rolling_window_needs_no_calendar() -> None:
    """`30d` with isRolling is the other kind of window."""
    document = copy.deepcopy(THRESHOLD)
    document["spec"]["timeWindow"] = [{"duration": "30d", "isRolling": True}]
    assert parse_objective(document).window.text == "rolling 30d"


SPEC = ("spec", "indicator", "spec", "thresholdMetric", "metricSource", "spec")
SOURCE = ".".join(SPEC)
GOAL = ("spec", "objectives", 0)


@pytest.mark.parametrize(
    ("place", "value", "key", "reason"),
    [
        (("spec", "timeWindow", 0, "duration"), "1m", "spec.timeWindow[0].duration", "a month is written '1M'"),
        ((*GOAL, "target"), 1.0, "spec.objectives[0].target", "below 1"),
        ((*GOAL, "op"), "gt", "spec.objectives[0].op", "must be 'lt'"),
        ((*GOAL, "value"), 0.0000001, "spec.objectives[0].value", "whole number of nanoseconds"),
        ((*GOAL, "value"), -5, "spec.objectives[0].value", "above 0"),
        ((*SPEC, "unit"), "minutes", f"{SOURCE}.unit", "not one of ms, s"),
        ((*SPEC, "time"), "span", f"{SOURCE}.time", "belongs to event 'run'"),
        ((*SPEC, "event"), "steps", f"{SOURCE}.event", "not one of step, part"),
        ((*SPEC, "step"), ["price"], f"{SOURCE}.step", "did you mean 'steps'"),
        ((*SPEC, "scenarios"), "*", f"{SOURCE}.scenarios", "list of texts"),
        (("metadata", "annotations", "fleet/line"), None, "metadata.annotations.fleet/line", "is missing"),
        (("spec", "objectives"), [{}, {}], "spec.objectives", "exactly one"),
        (("spec", "budgetingMethod"), "RatioTimeslices", "spec.budgetingMethod", "not one of Occurrences, Timeslices"),
    ],
)
def test_a_wrong_key_is_named_with_what_is_allowed(
    place: tuple[str | int, ...], value: object, key: str, reason: str
) -> None:
    """A person who wrote the file finds the place and the way out in the message."""
    document: Any = copy.deepcopy(THRESHOLD)
    inner = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(ObjectiveError, match=re.escape(reason)) as refused:
        parse_objective(document)
    assert refused.value.key == key


def test_good_must_fit_the_kind_of_event() -> None:
    """A request is answered or not; it cannot `pass`."""
    document = ratio()
    document["spec"]["indicator"]["spec"]["ratioMetric"]["good"]["metricSource"]["spec"]["good"] = "passed"
    with pytest.raises(ObjectiveError, match="good must be 'answered'"):
        parse_objective(document)


def test_a_ratio_line_takes_no_limit() -> None:
    """A value that nothing would compare is refused, not ignored."""
    document = ratio()
    document["spec"]["objectives"][0]["value"] = 5
    with pytest.raises(ObjectiveError, match="does not belong"):
        parse_objective(document)


def test_a_document_that_is_no_mapping_is_refused() -> None:
    """An empty YAML file is None and not an objective."""
    with pytest.raises(ObjectiveError, match="must be a mapping"):
        parse_objective(None)  # type: ignore[arg-type]  # what an empty file gives
