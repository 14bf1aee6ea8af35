"""Comparing a platform's figures with the truth about a part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.geometry import compare_geometry
from probes.parts import Geometry, Quantity

TRUTH = Geometry(
    unit="mm",
    bbox_mm=(80.0, 60.0, 40.0),
    bbox_abs_tol_mm=0.05,
    volume_mm3=Quantity(61_234.5, 1e-4, "analytic"),
    area_mm2=Quantity(15_432.1, 1e-4, "analytic"),
    bodies=1,
    faces=15,
    triangles=None,
    closed=True,
)


@dataclass(frozen=True)
class Measured:
    """What a platform said."""

    volume_mm3: float | None = 61_234.5
    area_mm2: float | None = 15_432.1
    bbox_mm: tuple[float, float, float] | None = (80.0, 60.0, 40.0)


def test_the_true_figures_pass() -> None:
    """All three are checked and hold."""
    checks = compare_geometry(Measured(), TRUTH)
    assert [check.name for check in checks] == ["volume", "area", "bounding box"]
    assert all(check.ok for check in checks)


def test_what_a_target_does_not_report_is_not_checked() -> None:
    """A description without a place for a figure makes no expectation about it."""
    checks = compare_geometry(Measured(area_mm2=None, bbox_mm=None), TRUTH)
    assert [check.name for check in checks] == ["volume"]


@pytest.mark.parametrize(
    ("factor", "hint"),
    [
        (1e-3, "centimetres taken for millimetres"),
        (1e-9, "metres taken for millimetres"),
        (1e9, "millimetres converted from metres once too often"),
        (1e3, "millimetres converted from centimetres once too often"),
        (25.4**3, "millimetres converted from inches once too often"),
        (25.4**-3, "inches taken for millimetres"),
    ],
)
def test_a_slip_of_units_in_a_volume_is_named(factor: float, hint: str) -> None:
    """The message says which mistake would explain the figure."""
    [volume, *_] = compare_geometry(Measured(volume_mm3=61_234.5 * factor), TRUTH)
    assert not volume.ok
    assert hint in volume.found


def test_a_slip_of_units_in_a_box_is_named() -> None:
    """All three extents have to agree on the factor."""
    checks = compare_geometry(Measured(bbox_mm=(80 / 25.4, 60 / 25.4, 40 / 25.4)), TRUTH)
    assert "inches taken for millimetres" in checks[2].found
    other = compare_geometry(Measured(bbox_mm=(80 / 25.4, 60.0, 40.0)), TRUTH)
    assert "inches" not in other[2].found
    assert "off by up to 76.85 mm" in other[2].found


def test_a_turned_part_is_not_the_same_part() -> None:
    """Extents belong to axes; the message says that only the axes differ."""
    checks = compare_geometry(Measured(bbox_mm=(60.0, 80.0, 40.0)), TRUTH)
    assert not checks[2].ok
    assert "other axes" in checks[2].found


def test_a_small_deviation_is_shown_in_per_cent() -> None:
    """Expected, found and how far off stand in one line."""
    [volume, *_] = compare_geometry(Measured(volume_mm3=61_234.5 * 1.02), TRUTH)
    assert volume.expected == "61234.5 mm³ ± 0.01 %"
    assert "+2 %" in volume.found


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -61_234.5])
def test_no_strange_number_passes(value: float) -> None:
    """Not-a-number compares as wrong, and so does a negative volume."""
    assert not any(
        check.ok for check in compare_geometry(Measured(volume_mm3=value, area_mm2=value, bbox_mm=(value,) * 3), TRUTH)
    )


@given(st.floats(min_value=-3e-4, max_value=3e-4))
def test_the_tolerance_is_the_parts_own(relative_error: float) -> None:
    """An answer passes exactly when it is within the part's relative tolerance."""
    measured = 61_234.5 * (1 + relative_error)
    [volume, *_] = compare_geometry(Measured(volume_mm3=measured), TRUTH)
    assert volume.ok == (abs(measured - 61_234.5) <= 1e-4 * 61_234.5)
