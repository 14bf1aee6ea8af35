"""Whose results are scored: asked for, configured, or the only ones; never a guess among several."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.scoring import Scorer
from collector.simulation import deliveries_of
from collector.simulation_plan import read_plan
from collector.store import Store, open_store
from console.desk import Desk
from console.scored_choice import chosen_regions, chosen_results
from probes.errors import OperatorError
from slo.window import Span, month_span
from tests.desk_kit import desk_of

MONTH = month_span("2026-09")
SHORT = Span("minutes", MONTH.from_minute, MONTH.from_minute + 5)


def chooser(*words: str, environ: dict[str, str] | None = None) -> Desk:
    """A desk for these words."""
    return desk_of(["list", *words], MONTH.until_at, environ=environ)[0]


async def filled(store: Store, folder: Path, *, fleet: str, target: str) -> None:
    """Put five minutes of a made-up fleet into a store."""
    file = folder / f"{fleet}-{target}.toml"
    text = f'fleet = "{fleet}"\ntarget = "{target}"\nregions = ["eu-west", "moon"]\n[journeys]\napi-health = "1m"\n'
    file.write_text(text, encoding="utf-8")
    await store.scores.begin(Scorer([]))
    for delivery in deliveries_of(read_plan(file), SHORT):
        await store.file([delivery])


async def test_the_only_target_and_fleet_are_taken(tmp_path: Path) -> None:
    """And the regions are those that this fleet's probes stand in, whatever the settings say of ours."""
    async with open_store(str(tmp_path / "one.db")) as store:
        await filled(store, tmp_path, fleet="simulated", target="shop")
        assert await chosen_results(store, chooser()) == ("shop", "simulated")
        assert await chosen_regions(store, chooser(), "simulated") == ("eu-west", "moon")
        own = chooser().settings
        assert await chosen_regions(store, chooser(), own.fleet) == own.regions


async def test_several_are_listed_and_none_is_guessed(tmp_path: Path) -> None:
    """Until one is named or configured."""
    async with open_store(str(tmp_path / "two.db")) as store:
        await filled(store, tmp_path, fleet="one", target="shop")
        await filled(store, tmp_path, fleet="two", target="bakery")
        with pytest.raises(OperatorError, match="2 targets are stored: bakery, shop"):
            await chosen_results(store, chooser())
        with pytest.raises(OperatorError, match="2 fleets are stored: one, two"):
            await chosen_results(store, chooser("--target", "shop"))
        settings = {"PROBE_FLEET_FLEET": "two", "PROBE_FLEET_TARGET": "shop"}
        assert await chosen_results(store, chooser(environ=settings)) == ("shop", "two")
        assert await chosen_results(store, chooser("--target", "bakery", environ=settings)) == ("bakery", "two")


async def test_what_was_never_measured_is_refused(tmp_path: Path) -> None:
    """An empty store, and a name that it does not know."""
    async with open_store(str(tmp_path / "some.db")) as store:
        with pytest.raises(OperatorError, match="no run was stored"):
            await chosen_results(store, chooser())
        await filled(store, tmp_path, fleet="simulated", target="shop")
        with pytest.raises(OperatorError, match="nothing was measured of 'shup'"):
            await chosen_results(store, chooser("--target", "shup"))
