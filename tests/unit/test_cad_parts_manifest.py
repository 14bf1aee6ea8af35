"""The manifest tells the truth about the committed files, refuses nonsense, and no part looks like a stub's answer."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.cad.generate import write_part
from fixtures.cad.invalid import BAD_FILES
from fixtures.cad.manifest import Committed, Manifest, PartEntry, parse_manifest, render_manifest
from fixtures.cad.recipes import entries
from fixtures.cad.recipes.claims import CLAIMS
from fixtures.cad.recipes.entries import ALIASES, build_manifest
from probes.errors import BugError, OperatorError

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "cad"
DATA = (FOLDER / "manifest.json").read_bytes()
MANIFEST = parse_manifest(DATA)
BY_ID = {entry.id: entry for entry in MANIFEST.parts}
STUB_SIZES_MM = ((25, 50, 100), (50, 100, 200))


def committed() -> list[tuple[PartEntry, Path]]:
    """The entries of committed files, each with its file."""
    return [
        (part, FOLDER / "files" / part.source.file) for part in MANIFEST.parts if isinstance(part.source, Committed)
    ]


def test_every_committed_file_has_the_size_and_hash_of_its_manifest_entry() -> None:
    """A checkout that changed one byte (line endings, a bad merge) is noticed before a platform is blamed."""
    for entry, path in committed():
        data = path.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry.file_bytes, entry.sha256), entry.id


def test_every_file_in_the_folder_belongs_to_an_entry() -> None:
    """No file is committed that nobody can ask for."""
    assert {path.name for path in (FOLDER / "files").iterdir()} == {path.name for _, path in committed()}


def test_the_set_is_complete() -> None:
    """92 parts, 27 of them committed in under 2 MB, 39 of them bad; what is committed stays small."""
    files = [path for _, path in committed()]
    assert len(MANIFEST.parts) == 92
    assert len(files) == 27
    assert sum(path.stat().st_size for path in files) < 2_000_000
    assert sum(entry.family == "invalid" for entry in MANIFEST.parts) == len(BAD_FILES) == 39


def test_no_part_has_the_size_of_a_stubs_answer() -> None:
    """A platform that always answers with its favourite box is wrong about every part, whichever way it is turned."""
    for entry in MANIFEST.parts:
        if entry.geometry is not None:
            extents = sorted(entry.geometry.bbox_mm)
            for stub in STUB_SIZES_MM:
                off = max(abs(found - fake) for found, fake in zip(extents, stub, strict=True))
                assert off > 1 + entry.geometry.bbox_abs_tol_mm, entry.id


def test_parts_of_different_families_cannot_be_mistaken_for_each_other() -> None:
    """An answer for the wrong file is out of tolerance: no two small shapes share volume and area."""
    for (name_a, a), (name_b, b) in itertools.combinations(CLAIMS.items(), 2):
        same_volume = math.isclose(a.volume_mm3, b.volume_mm3, rel_tol=1e-2)
        same_area = math.isclose(a.area_mm2, b.area_mm2, rel_tol=1e-2)
        assert not (same_volume and same_area), (name_a, name_b)


def test_the_same_part_is_there_in_every_format() -> None:
    """One shape, one truth: every file of the bracket states the same volume, area and extents."""
    brackets = [entry for entry in MANIFEST.parts if entry.family == "bracket"]
    assert {entry.format for entry in brackets} == {"step", "iges", "brep", "stl-binary", "stl-ascii", "3mf", "obj"}
    truths = {
        (part.geometry.bbox_mm, part.geometry.volume_mm3.value, part.geometry.area_mm2.value)
        for part in brackets
        if part.geometry is not None
    }
    assert len(truths) == 1


@pytest.mark.parametrize("limit_bytes", [50_000_000, 52_428_800])
def test_padded_parts_stand_on_both_sides_of_each_reading_of_the_limit(limit_bytes: int) -> None:
    """The byte before, the byte itself and the byte after exist, so that one rare run can tell which limit holds."""
    for size in (limit_bytes - 1, limit_bytes, limit_bytes + 1):
        assert BY_ID[f"padded-{size}"].file_bytes == size


def test_a_part_must_be_accepted_only_under_both_limits_and_refused_only_over_both() -> None:
    """Between 50 MB and 50 MiB the documents allow either answer, and the manifest says so."""
    for entry in MANIFEST.parts:
        if entry.tier == "limit":
            expected = {True: "accept", False: "reject" if entry.file_bytes > 52_428_800 else "accept_or_reject"}
            assert entry.outcome == expected[entry.file_bytes < 50_000_000], entry.id


def test_aliases_of_the_manifest_are_the_documented_ones() -> None:
    """Scenarios may rely on these names."""
    assert MANIFEST.aliases == ALIASES
    assert BY_ID[ALIASES["near-limit-step"]].file_bytes == 49_999_999
    assert BY_ID[ALIASES["near-limit-step-mib"]].file_bytes == 52_428_799
    assert BY_ID[ALIASES["over-limit-step"]].outcome == "reject"


def test_a_manifest_is_written_as_it_is_read() -> None:
    """What the tool writes is what the reader takes, byte for byte."""
    assert render_manifest(MANIFEST) == DATA


def test_small_and_bad_parts_are_listed_as_the_recipes_say() -> None:
    """The quick half of the promise below: every claim and every committed file, none of the large ones."""
    files = FOLDER / "files"
    expected = (*entries._small_entries(files), *entries._bad_entries(files))
    assert MANIFEST.parts[: len(expected)] == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_manifest_is_what_the_recipes_say() -> None:
    """Sizes, hashes and ground truth were written by the tool, from formulas and bytes, and not by hand."""
    assert render_manifest(build_manifest(FOLDER / "files", MANIFEST.tools)) == DATA


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The real manifest with one thing changed."""
    content = json.loads(DATA)
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda m: m["parts"][3].update(colour="red"), "parts.3.colour"),
        (lambda m: m["parts"][0].update(sha256="0" * 63), "parts.0.sha256"),
        (lambda m: m["parts"][0].update(file_bytes=-1), "parts.0.file_bytes"),
        (lambda m: m["parts"][0].update(file_bytes="54461"), "parts.0.file_bytes"),
        (lambda m: m["parts"][0]["source"].update(file="../secret"), "parts.0.source.committed.file"),
        (lambda m: m["parts"][0].update(upload_name="a/b.step"), "parts.0.upload_name"),
        (lambda m: m["parts"][0].update(outcome="maybe"), "parts.0.outcome"),
        (lambda m: m["parts"][0]["dfm"].update(expected=["ugly"]), "parts.0.dfm.expected.0"),
        (lambda m: m.update(version=2), "version"),
        (lambda m: m.pop("aliases"), "aliases"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_place(change: Callable[[dict[str, Any]], object], place: str) -> None:
    """Unknown keys, hashes that are none and names that leave the folder are refused, and the key is named."""
    with pytest.raises(OperatorError) as caught:
        parse_manifest(edited(change), where="some/manifest.json")
    assert caught.value.where == f"some/manifest.json:{place}"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["parts"].append(m["parts"][0]), "two parts have the id bracket"),
        (lambda m: m["aliases"].update(bracket="tiny"), "the alias bracket is the id of a part"),
        (lambda m: m["aliases"].update(ghost="nowhere"), "the alias ghost leads to nowhere"),
    ],
)
def test_names_that_clash_or_lead_nowhere_are_refused(change: Callable[[dict[str, Any]], object], reason: str) -> None:
    """Every name means exactly one part."""
    with pytest.raises(OperatorError, match=reason):
        parse_manifest(edited(change))


def test_a_manifest_that_is_no_json_is_refused() -> None:
    """A half-written file is an operator's matter, not a traceback."""
    with pytest.raises(OperatorError, match="not a manifest"):
        parse_manifest(DATA[:-40])


def test_a_padded_size_that_no_comment_can_fill_is_our_bug(tmp_path: Path) -> None:
    """A generator stops rather than write a file of another size."""
    entry = BY_ID["padded-49999999"]
    assert entry.source.kind == "padded"
    with (tmp_path / "out").open("w+b") as file, pytest.raises(BugError, match="cannot be padded to 54462"):
        write_part(file, entry.source, file_bytes=54_462, files=FOLDER / "files")


def test_manifest_type_is_frozen() -> None:
    """Nobody can change a truth while the program runs."""
    with pytest.raises(ValueError, match="frozen"):
        Manifest.__setattr__(MANIFEST, "version", 2)
