"""What a reference CAD part is: its file, and the truth that a platform's answer is compared with.

Pure data plus the `PartCatalog` that scenarios are handed; no I/O and no knowledge of where parts come from. It does
not compare anything: `probes.journey` does. `fixtures.cad` builds these records, `probes.journey` and scenarios read
them.

Lengths are millimetres, areas square millimetres, volumes cubic millimetres, whatever unit the file is written in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

__all__ = [
    "DfmPolicy",
    "DfmTruth",
    "Geometry",
    "LengthUnit",
    "Part",
    "PartCatalog",
    "PartOutcome",
    "PartTier",
    "Quantity",
]

PartTier = Literal["smoke", "regular", "large", "limit", "invalid", "hostile"]
"""How often a part is worth its cost: each run, hourly, daily, rarely, daily, and only where a target allows it."""

PartOutcome = Literal["accept", "accept_or_warn", "reject_or_warn", "accept_or_reject", "reject"]
"""What a correct platform does with the file. `warn` is a finding that a customer sees before a price."""

DfmPolicy = Literal["exact", "at_least", "ignore"]
"""`exact`: these findings and no other; `at_least`: these, and none of the forbidden ones; `ignore`: do not look."""

LengthUnit = Literal["mm", "inch", "none"]
"""The unit that the file itself declares; `none` where the format has no place for one (STL, OBJ)."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A true value, how far (relative) an honest answer may be off, and where the truth comes from.

    `source` is `analytic` (a formula from the part's dimensions), `exact_mesh` (summed over the triangles of the file)
    or `kernel` (measured by one CAD kernel on the file read back; the weakest of the three).
    """

    value: float
    rel_tol: float
    source: str


@dataclass(frozen=True, slots=True)
class Geometry:
    """The true shape of a part. `faces` is None for meshes, `triangles` for exact boundary representations.

    `bbox_mm` holds the three extents, not positions. `bodies` are separate solids. `closed` is false for a part whose
    surface encloses no volume.
    """

    unit: LengthUnit
    bbox_mm: tuple[float, float, float]
    bbox_abs_tol_mm: float
    volume_mm3: Quantity
    area_mm2: Quantity
    bodies: int
    faces: int | None
    triangles: int | None
    closed: bool


@dataclass(frozen=True, slots=True)
class DfmTruth:
    """What a manufacturability check should and should not find in a part.

    Findings are `thin_wall`, `deep_pocket`, `small_hole`, `deep_hole`, `undercut`, `sharp_internal_corner`,
    `multiple_bodies`, `too_large` and `too_small`. `facts` are the measures behind them: `min_wall_mm`,
    `min_hole_d_mm`, `pocket_ratio`, `hole_ratio` (depth to width) and `hidden_area_share` (0 to 1).
    """

    policy: DfmPolicy
    expected: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """One reference part: a file on this host that has the stated size and hash, and what is known about it.

    `geometry` and `dfm` are None for files that hold no part. `format` is `step`, `iges`, `brep`, `stl-binary`,
    `stl-ascii`, `3mf`, `obj` or `none` (not a CAD file, or a broken one). `hostile` files are sent only to targets
    that allow it. `family` groups files: `bracket` is one part in every format, `waffle` one shape in several sizes.
    """

    id: str
    upload_name: str
    format: str
    media_type: str
    file_bytes: int
    sha256: str
    tier: PartTier
    geometry: Geometry | None
    dfm: DfmTruth | None
    outcome: PartOutcome
    purpose: str
    hostile: bool
    path: Path
    family: str = ""


class PartCatalog(Protocol):
    """The parts that this host can offer; `fixtures.cad.catalog.open_catalog` is the real one."""

    def get(self, part_id: str) -> Part:
        """The part with this id or alias, its file present and checked.

        Makes a large file on first use, which takes seconds and blocks: call it before a clock starts. Raises
        OperatorError for an unknown id (and suggests the nearest), DependencyError for a wrong hash or a disk that will
        not take it.
        """
        ...

    def ids(
        self,
        *,
        tier: str = "",
        format: str = "",  # noqa: A002 - named as the field that it filters
        family: str = "",
        hostile: bool = False,
    ) -> tuple[str, ...]:
        """The ids that match every filter given, in the manifest's order; hostile parts only when `hostile` is true.

        Makes no file. Aliases are not listed.
        """
        ...
