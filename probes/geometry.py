"""Comparing what a platform measured in a part with what is true of it.

Pure: figures in, expectations out, each with what was expected, what was found, how far off it is, and, where a factor fits, the
slip of units that would explain it. Refuses to decide what follows. Called by `probes.journey`.
"""

from __future__ import annotations

import math
from typing import Protocol

from probes.parts import Geometry, Quantity
from probes.records import Expectation

__all__ = ["MeasuredGeometry", "compare_geometry"]

# What an answer looks like when it is given in another unit than the one it was read in, per power of a length.
LENGTH_SLIPS = {
    "centimetres taken for millimetres": 0.1,
    "metres taken for millimetres": 1e-3,
    "inches taken for millimetres": 1 / 25.4,
    "millimetres converted from centimetres once too often": 10.0,
    "millimetres converted from metres once too often": 1e3,
    "millimetres converted from inches once too often": 25.4,
}
SLIP_REL_TOL = 0.01


class MeasuredGeometry(Protocol):
    """What a platform says of a part, in millimetres; None where the target's description has no place for a figure."""

    @property
    def volume_mm3(self) -> float | None:
        """The volume in cubic millimetres."""
        ...

    @property
    def area_mm2(self) -> float | None:
        """The surface in square millimetres."""
        ...

    @property
    def bbox_mm(self) -> tuple[float, float, float] | None:
        """The three extents along the part's own axes."""
        ...


def compare_geometry(found: MeasuredGeometry, truth: Geometry) -> tuple[Expectation, ...]:
    """One expectation for each figure that the platform gives, in the order volume, area, box."""
    checks = []
    if found.volume_mm3 is not None:
        checks.append(compare_quantity("volume", found.volume_mm3, truth.volume_mm3, unit="mm³", power=3))
    if found.area_mm2 is not None:
        checks.append(compare_quantity("area", found.area_mm2, truth.area_mm2, unit="mm²", power=2))
    if found.bbox_mm is not None:
        checks.append(compare_box(found.bbox_mm, truth.bbox_mm, abs_tol_mm=truth.bbox_abs_tol_mm))
    return tuple(checks)


def compare_quantity(name: str, found: float, truth: Quantity, *, unit: str, power: int) -> Expectation:
    """A volume or an area against the true value; not-a-number never passes."""
    ok = abs(found - truth.value) <= truth.rel_tol * abs(truth.value)
    expected = f"{truth.value:.6g} {unit} ± {truth.rel_tol * 100:.3g} %"
    shown = f"{found:.6g} {unit}"
    return Expectation(name, expected, shown if ok else f"{shown}{deviation(found, truth.value, power)}", ok)


def compare_box(
    found: tuple[float, float, float], truth: tuple[float, float, float], *, abs_tol_mm: float
) -> Expectation:
    """The three extents, each along its own axis."""
    ok = len(found) == len(truth) and all(abs(a - b) <= abs_tol_mm for a, b in zip(found, truth, strict=False))
    expected = f"{box_text(truth)} ± {abs_tol_mm:g} mm"
    return Expectation("bounding box", expected, f"{box_text(found)}{'' if ok else box_remark(found, truth)}", ok)


def box_text(extents: tuple[float, ...]) -> str:
    """Extents as people write them."""
    return f"{' x '.join(f'{extent:.6g}' for extent in extents)} mm"


def box_remark(found: tuple[float, ...], truth: tuple[float, ...]) -> str:
    """Turned axes, or a slip of units that fits all three extents, or the largest deviation."""
    pairs = list(zip(found, truth, strict=False))
    if all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(sorted(found), sorted(truth), strict=False)):
        return " (the same extents along other axes)"
    slips = {slip_of(a, b, power=1) for a, b in pairs}
    if len(slips) == 1 and "" not in slips:
        return f" ({slips.pop()}?)"
    worst = max(pairs, key=lambda pair: abs(pair[0] - pair[1]), default=(0.0, 0.0))
    return f" (off by up to {abs(worst[0] - worst[1]):.4g} mm)"


def deviation(found: float, truth: float, power: int) -> str:
    """How far off, in per cent or as a factor, with the slip of units that would explain it."""
    if not math.isfinite(found) or truth == 0:
        return ""
    ratio = found / truth
    far = f"{(ratio - 1) * 100:+.4g} %" if 0.1 < ratio < 10 else f"{ratio:.4g} times"
    slip = slip_of(found, truth, power=power)
    return f" ({far}: {slip}?)" if slip else f" ({far})"


def slip_of(found: float, truth: float, *, power: int) -> str:
    """The slip of units whose factor fits, or nothing."""
    for slip, factor in LENGTH_SLIPS.items():
        if truth and math.isclose(found / truth, factor**power, rel_tol=SLIP_REL_TOL):
            return slip
    return ""
