"""The stand-in measures what it was sent: every small reference part, every file that is no part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from probes.parts import Part
from tests.platform_kit import Answer, StandIn, part, start_stand_in

MANIFEST = Path(__file__).resolve().parents[2] / "fixtures" / "cad" / "manifest.json"
ROWS = json.loads(MANIFEST.read_text())["parts"]
SMALL = [
    row["id"] for row in ROWS if row.get("geometry") and row["tier"] in ("smoke", "regular") and row["file_bytes"] < 2e6
]
CHECKED = [row["id"] for row in ROWS if row["id"] in SMALL and row["dfm"]["policy"] != "ignore"]
UNREADABLE = [row["id"] for row in ROWS if row["outcome"] == "reject" and row["tier"] == "invalid"]
BROKEN = [row["id"] for row in ROWS if row["tier"] in ("invalid", "hostile")]


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """One platform for the whole file; its two workers measure for all tests."""
    with start_stand_in() as found:
        yield found


def measure(stand_in: StandIn, known: Part) -> Answer:
    """Upload and analyse a part."""
    return stand_in.analyse(stand_in.uploaded(known.path, known.upload_name))


@pytest.mark.parametrize("part_id", SMALL)
def test_a_part_is_measured_within_its_tolerance(stand_in: StandIn, part_id: str) -> None:
    """Volume, area, extent, bodies and faces or triangles are those of the part's ground truth."""
    known = part(part_id)
    truth = known.geometry
    assert truth is not None
    answer = measure(stand_in, known)
    assert answer.status == 200, answer.body
    sides = [answer.number(f"metrics.bbox.max.{axis}") - answer.number(f"metrics.bbox.min.{axis}") for axis in "xyz"]
    assert answer.number("metrics.volume") * 1000 == pytest.approx(truth.volume_mm3.value, rel=truth.volume_mm3.rel_tol)
    assert answer.number("metrics.surface_area") * 100 == pytest.approx(
        truth.area_mm2.value, rel=truth.area_mm2.rel_tol
    )
    assert sides == pytest.approx(truth.bbox_mm, abs=truth.bbox_abs_tol_mm)
    assert answer.at("metrics.bodies") == truth.bodies
    if truth.triangles is not None:
        assert answer.at("metrics.triangles") == truth.triangles
    if truth.faces is not None:
        assert answer.at("metrics.primitive_features.faces") == truth.faces


@pytest.mark.parametrize("part_id", CHECKED)
def test_the_manufacturability_checks_find_what_a_part_was_made_to_have(stand_in: StandIn, part_id: str) -> None:
    """Every defect of a part is found, nothing that is forbidden for it, and nothing at all on the clean block."""
    known = part(part_id)
    assert known.dfm is not None
    answer = stand_in.dfm(stand_in.uploaded(known.path, known.upload_name))
    assert answer.status == 200, answer.body
    checks = answer.at("checks")
    assert isinstance(checks, list)
    found = {check["code"] for check in checks if check["state"] != "pass"}
    assert set(known.dfm.expected) <= found, checks
    assert not found & set(known.dfm.forbidden), checks
    if known.dfm.policy == "exact":
        assert found == set(known.dfm.expected), checks


def test_the_holes_of_the_bracket_are_counted(stand_in: StandIn) -> None:
    """Four bores of 6.5 mm and one of 10 mm, each through 8 mm."""
    answer = measure(stand_in, part("bracket"))
    holes = answer.at("metrics.holes")
    assert isinstance(holes, list)
    sizes = [(round(hole["diameter"], 3), round(hole["depth"], 3)) for hole in holes]
    assert sizes == [(6.5, 8.0)] * 4 + [(10.0, 8.0)]


def test_a_name_changes_nothing_in_the_answer(stand_in: StandIn) -> None:
    """The answer comes from the bytes: a part under another part's name is measured as itself."""
    block = stand_in.analyse(stand_in.uploaded(part("clean_block").path, "bracket.step"))
    truth = part("clean_block").geometry
    assert truth is not None
    assert block.number("metrics.volume") * 1000 == pytest.approx(truth.volume_mm3.value, rel=1e-4)


def test_changed_bytes_change_the_answer(stand_in: StandIn) -> None:
    """No part is known by its hash: a cube that no catalog has is measured like any other."""
    answer = stand_in.analyse(stand_in.uploaded(text_cube(17.0), "cube.stl"))
    assert answer.number("metrics.volume") == pytest.approx(17.0**3 / 1000, rel=1e-9)
    assert answer.number("metrics.surface_area") == pytest.approx(6 * 17.0**2 / 100, rel=1e-9)


@pytest.mark.parametrize("part_id", BROKEN)
def test_a_file_that_is_no_part_is_refused_with_a_reason(stand_in: StandIn, part_id: str) -> None:
    """Refused with 400 and a reason at the upload or the analysis, never a 5xx, and never a quote where it must be refused."""
    known = part(part_id)
    upload = stand_in.upload(known.path, known.upload_name)
    if upload.status != 201:
        assert (upload.status, known.outcome == "accept") == (400, False), upload.body
        assert upload.text("error")
        return
    path = upload.text("file.path")
    analysis = stand_in.analyse(path)
    assert analysis.status in (200, 400), analysis.body
    if analysis.status == 400:
        assert known.outcome != "accept", analysis.body
        assert analysis.text("detail")
        refused = stand_in.quote(path)
        assert (refused.status, refused.at("code")) == (400, "BAD_REQUEST")
    else:
        assert known.outcome != "reject", analysis.body
        assert analysis.number("metrics.volume") > 0


@pytest.mark.parametrize("part_id", UNREADABLE)
def test_a_file_that_cannot_be_read_ends_its_manufacturability_request(stand_in: StandIn, part_id: str) -> None:
    """The request ends with status Error and a reason; it does not stay in the queue."""
    known = part(part_id)
    upload = stand_in.upload(known.path, known.upload_name)
    if upload.status == 201:
        answer = stand_in.dfm(upload.text("file.path"))
        assert answer.status == 400
        assert answer.text("detail")


def text_cube(side_mm: float) -> bytes:
    """A cube as text STL."""
    corners = [(x * side_mm, y * side_mm, z * side_mm) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    faces = ["021", "123", "456", "576", "014", "154", "263", "367", "042", "246", "135", "375"]
    lines = ["solid cube"]
    for face in faces:
        lines += ["facet normal 0 0 0", "outer loop"]
        lines += ["vertex {} {} {}".format(*corners[int(corner)]) for corner in face]
        lines += ["endloop", "endfacet"]
    return "\n".join([*lines, "endsolid cube", ""]).encode()
