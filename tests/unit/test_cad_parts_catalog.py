"""The catalog hands out whole and right files by id or alias, and says what to do when it cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.cad.cache import PartCache
from fixtures.cad.catalog import FileCatalog, default_cache_dir, open_catalog
from probes.errors import DependencyError, OperatorError
from probes.parts import PartCatalog

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "cad"


@pytest.fixture
def catalog(tmp_path: Path) -> FileCatalog:
    """The real catalog over an empty cache."""
    return open_catalog(tmp_path / "cache")


@pytest.fixture
def copied(tmp_path: Path) -> Callable[..., FileCatalog]:
    """Opens a catalog over a copy of the folder, its manifest changed by the function given."""

    def open_copy(change: Callable[[dict[str, Any]], object] = lambda _: None) -> FileCatalog:
        folder = tmp_path / "copy"
        shutil.copytree(FOLDER / "files", folder / "files")
        content = json.loads((FOLDER / "manifest.json").read_bytes())
        change(content)
        (folder / "manifest.json").write_text(json.dumps(content))
        return FileCatalog(folder, PartCache(tmp_path / "cache"))

    return open_copy


def test_the_catalog_keeps_the_protocol_that_scenarios_are_written_against(catalog: FileCatalog) -> None:
    """A type checker holds the two together; the id of an alias is the part's own."""
    offered: PartCatalog = catalog
    assert offered.get("bracket").path.read_bytes().startswith(b"ISO-10303-21;")


def test_a_committed_part_comes_with_everything_that_is_known_about_it(catalog: FileCatalog) -> None:
    """Geometry, tolerances, manufacturability and outcome arrive as the records that journeys compare with."""
    part = catalog.get("thin_wall")
    assert part.geometry is not None
    assert part.dfm is not None
    volume = part.geometry.volume_mm3
    assert part.geometry.bbox_mm == pytest.approx((60, 40, 20))
    assert (volume.rel_tol, volume.source) == (1e-4, "analytic")
    assert (part.dfm.expected, dict(part.dfm.facts)) == (("thin_wall",), {"min_wall_mm": 0.4})
    assert (part.outcome, part.hostile, part.media_type) == ("accept", False, "model/step")
    assert part.path.stat().st_size == part.file_bytes


def test_a_part_that_is_made_on_first_use_is_announced_once(tmp_path: Path) -> None:
    """Whoever waits can be told why; the second time there is nothing to wait for."""
    announced: list[tuple[str, int]] = []
    catalog = open_catalog(tmp_path, on_making=lambda *about: announced.append(about))
    first, second = catalog.get("waffle-100k"), catalog.get("waffle-100k")
    assert first == second
    assert announced == [("waffle-100k", 89_218)]


def test_an_alias_is_the_part_itself(tmp_path: Path, copied: Callable[..., FileCatalog]) -> None:
    """Scenarios say what they mean; records carry the id of the manifest."""
    catalog = copied(lambda manifest: manifest["aliases"].update({"control-part": "clean_block"}))
    assert catalog.get("control-part") == catalog.get("clean_block")


@pytest.mark.parametrize(
    ("name", "near"),
    [("brackte", "bracket"), ("near-limit-stp", "near-limit-step"), ("padded-49999998", "padded-4999")],
)
def test_an_unknown_part_is_refused_with_the_nearest_name(catalog: FileCatalog, name: str, near: str) -> None:
    """A slip of the pen costs one look at the message."""
    with pytest.raises(OperatorError, match=f"called {name}.*Did you mean {near}"):
        catalog.get(name)


def test_a_name_like_no_other_is_refused_with_the_way_to_the_list(catalog: FileCatalog) -> None:
    """No far-fetched guess."""
    with pytest.raises(OperatorError, match=r"`python -m fixtures\.cad list` shows all") as caught:
        catalog.get("zzz")
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("filters", [{"tier": "smokes"}, {"format": "stp"}, {"family": "braket"}])
def test_a_filter_that_no_part_can_match_is_refused(catalog: FileCatalog, filters: dict[str, Any]) -> None:
    """A misspelt filter must not turn a scenario into one that sends nothing and passes."""
    with pytest.raises(OperatorError, match="no reference part has the"):
        catalog.ids(**filters)


def test_hostile_parts_are_listed_only_when_asked_for(catalog: FileCatalog) -> None:
    """A target must opt in; forgetting the filter is safe."""
    everything = set(catalog.ids(hostile=True))
    hostile = everything - set(catalog.ids())
    assert hostile == set(catalog.ids(tier="hostile", hostile=True))
    assert {name.removeprefix("inv-") for name in hostile} == {
        "bomb_like.3mf",
        "size_lie.3mf",
        "zip_slip.3mf",
        "dtd.3mf",
        "count_too_large.stl",
    }
    assert catalog.ids(tier="hostile") == ()


def test_filters_work_together_and_make_no_file(catalog: FileCatalog) -> None:
    """Listing is free: nothing is made and no folder appears."""
    assert catalog.ids(tier="limit", format="3mf", family="relief") == (
        "relief-3mf-49999999",
        "relief-3mf-50000001",
        "relief-3mf-52428799",
        "relief-3mf-52428801",
    )
    assert len(catalog.ids(family="bracket")) == 11
    assert not catalog.cache_dir.exists()


def test_a_committed_file_that_was_changed_is_refused(copied: Callable[..., FileCatalog]) -> None:
    """One converted line ending is enough; the message names the file and the usual cause."""
    catalog = copied()
    path = catalog.get("bracket").path
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n", 1))
    with pytest.raises(DependencyError, match=r"bracket has the SHA-256 .*line endings") as caught:
        catalog.get("bracket")
    assert caught.value.where == str(path)


def test_a_committed_file_that_is_missing_is_refused(copied: Callable[..., FileCatalog]) -> None:
    """The message says which file to restore."""
    catalog = copied()
    (missing := catalog.get("tiny").path).unlink()
    with pytest.raises(DependencyError, match="Restore it from version control") as caught:
        catalog.get("tiny")
    assert caught.value.where == str(missing)


def test_a_manifest_with_the_wrong_hash_of_a_committed_file_is_refused(copied: Callable[..., FileCatalog]) -> None:
    """The manifest cannot be made to fit by changing one side of it."""
    catalog = copied(lambda manifest: manifest["parts"][0].update(sha256="0" * 64))
    with pytest.raises(DependencyError, match="the manifest says 0000"):
        catalog.get("bracket")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    """An incomplete installation is said to be one."""
    with pytest.raises(OperatorError, match="manifest of the reference parts cannot be read"):
        FileCatalog(tmp_path, PartCache(tmp_path / "cache"))


def test_the_cache_is_where_the_platform_keeps_caches() -> None:
    """XDG_CACHE_HOME when it is absolute, else under the home folder."""
    assert default_cache_dir({"XDG_CACHE_HOME": "/var/cache/x", "HOME": "/h"}) == Path("/var/cache/x/probe-fleet/parts")
    relative = default_cache_dir({"XDG_CACHE_HOME": "cache", "HOME": "/h"})
    assert relative.is_relative_to("/h")
    assert relative == default_cache_dir({"HOME": "/h"})
    assert relative.parts[-2:] == ("probe-fleet", "parts")
