"""Rules over several answers: sums within rounding, prices that fall, findings by policy, figures as a page shows them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.parts import DfmTruth, Part
from scenarios.expectations import expect_fair_units, expect_findings, expect_moved, expect_sum
from scenarios.widget import parse_amount


class Recorder:
    """Takes checks as a journey does, and keeps whether they held; the rules under test need nothing else of it."""

    def __init__(self) -> None:
        self.held: list[bool] = []

    def expect(self, _name: str, ok: bool, *, expected: object, found: object) -> None:
        """Keep the result; both texts must be there."""
        assert expected is not None
        assert found is not None
        self.held.append(ok)

    def expect_close(self, name: str, found: float, expected: float, *, abs_tol: float) -> None:
        """As a journey compares."""
        self.expect(name, abs(found - expected) <= abs_tol, expected=expected, found=found)


CENTS = st.decimals(min_value="0.01", max_value="99999", places=4)


@given(CENTS, st.integers(1, 10_000))
def test_a_total_rounded_in_either_order_adds_up(exact: Decimal, quantity: int) -> None:
    """Some platforms round the unit price, some only the total; both are honest."""
    cent = Decimal("0.01")
    unit = exact.quantize(cent, ROUND_HALF_UP)
    for total in (unit * quantity, (exact * quantity).quantize(cent, ROUND_HALF_UP)):
        recorder = Recorder()
        expect_sum(recorder, "total", float(total), float(unit), quantity)  # type: ignore[arg-type] # a recorder of checks
        assert recorder.held == [True], (exact, quantity, total)


@given(st.integers(1, 1000), st.integers(100, 100_000))
def test_a_total_that_is_a_tenth_too_high_never_adds_up(quantity: int, unit_cents: int) -> None:
    """The tolerance is for rounding only."""
    recorder = Recorder()
    expect_sum(recorder, "total", unit_cents * quantity * 1.1 / 100, unit_cents / 100, quantity)  # type: ignore[arg-type] # a recorder
    assert recorder.held == [False]


@pytest.mark.parametrize(
    ("units", "fair"),
    [
        ([(1, 10.0), (10, 9.0), (100, 9.0)], True),
        ([(100, 5.0), (1, 10.0)], True),
        ([(1, 10.0), (10, 10.01)], False),
        ([(1, 10.0)], True),
    ],
)
def test_more_pieces_never_cost_more_each(units: list[tuple[int, float]], fair: bool) -> None:
    """Whatever the order they were asked in."""
    recorder = Recorder()
    expect_fair_units(recorder, units)  # type: ignore[arg-type] # a recorder of checks
    assert all(recorder.held) is fair


def part_with(policy: str, expected: tuple[str, ...] = (), forbidden: tuple[str, ...] = ()) -> Part:
    """A part with these truths about its manufacturability."""
    dfm = DfmTruth(policy, expected, forbidden)  # type: ignore[arg-type] # a word of the table below
    return Part("p", "p.step", "step", "", 1, "", "smoke", None, dfm, "accept", "", hostile=False, path=Path("p"))


@pytest.mark.parametrize(
    ("part", "found", "ok"),
    [
        (part_with("exact"), (), True),
        (part_with("exact"), ("thin_wall",), False),
        (part_with("exact", ("thin_wall",)), (), False),
        (part_with("at_least", ("thin_wall",)), ("thin_wall", "deep_hole"), True),
        (part_with("at_least", ("thin_wall",)), ("deep_hole",), False),
        (part_with("at_least", (), ("deep_hole",)), ("deep_hole",), False),
        (part_with("at_least", (), ("deep_hole",)), ("small_hole",), True),
    ],
)
def test_findings_are_compared_as_strictly_as_the_part_says(part: Part, found: tuple[str, ...], ok: bool) -> None:
    """`exact`: these and no other; `at_least`: these, and none that is forbidden."""
    recorder = Recorder()
    expect_findings(recorder, found, part)  # type: ignore[arg-type] # a recorder of checks
    assert recorder.held == [ok]


def test_findings_are_not_looked_at_where_the_truth_is_not_known() -> None:
    """`ignore` means that nobody could say what is right."""
    recorder = Recorder()
    expect_findings(recorder, ("anything",), part_with("ignore"))  # type: ignore[arg-type] # a recorder of checks
    assert recorder.held == []


def test_an_instant_must_move_forward() -> None:
    """The same and an earlier one are a constant and a clock gone wrong."""
    for after, moved in (
        ("2026-01-01T00:00:01Z", True),
        ("2026-01-01T00:00:00Z", False),
        ("2025-12-31T00:00:00Z", False),
        ("", False),
    ):
        recorder = Recorder()
        expect_moved(recorder, {"at": "2026-01-01T00:00:00+00:00"}, {"at": after})  # type: ignore[arg-type] # a recorder
        assert recorder.held == [moved], after


@pytest.mark.parametrize(
    ("text", "amount"),
    [("$1,234.50", 1234.5), ("12.30 EUR", 12.3), ("Price: $0.00 each", 0.0), ("none", 0.0), ("$10,000,000", 1e7)],
)
def test_an_amount_is_read_as_a_person_reads_it(text: str, amount: float) -> None:
    """Commas stand between thousands."""
    assert parse_amount(text) == amount
