"""The how-to for scenario authors: every block of Python in it is loaded and run, against a small server."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from fixtures.cad.catalog import open_catalog
from probes.browser import BrowserEngine, find_browser
from probes.clock import SystemClock
from probes.errors import DependencyError
from probes.execute import RunEnvironment, run_scenario
from probes.http import FileBody, HttpEngine
from probes.journey import Journey
from probes.parts import Part
from probes.records import Outcome, Run
from probes.registry import Registry, load_registry
from probes.target_model import Operation, Permissions, Request
from probes.targets import Target
from tests.journey_kit import open_target

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-scenario.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
EXPECTED_STEPS = {
    "it-answers": ["health"],
    "bracket": ["upload", "analyse"],
    "draft": ["create", "read-back", "delete the draft"],
    "refusals": ["refuse", "refuse"],
    "front-page": ["load"],
}


@pytest.fixture
def guide(tmp_path: Path) -> Registry:
    """The guide's scenarios, each block in a file of its own, as a reader would have them."""
    for number, block in enumerate(BLOCKS):
        (tmp_path / f"block_{number}.py").write_text(block, encoding="utf-8")
    return load_registry(tmp_path)


def test_every_block_of_the_guide_is_a_scenario_that_loads(guide: Registry) -> None:
    """And this test knows each of them."""
    assert guide.problems == ()
    assert set(guide.names()) == set(EXPECTED_STEPS)
    assert len(guide) == len(BLOCKS)


@pytest.mark.parametrize("name", [name for name in EXPECTED_STEPS if name != "front-page"])
async def test_every_scenario_of_the_guide_passes_with_the_steps_that_it_shows(guide: Registry, name: str) -> None:
    """What a reader copies works, and leaves nothing behind."""
    run = await run_of(guide, name, browser=None)
    assert run.failure is None
    assert run.outcome is Outcome.PASS
    assert [step.name for step in run.steps] == EXPECTED_STEPS[name]
    assert all(effect.fate == "deleted" and effect.read_back for effect in run.side_effects)


async def test_the_guides_browser_scenario_loads_a_page(guide: Registry) -> None:
    """With a real browser; its figures are in the record."""
    try:
        choice = find_browser()
    except DependencyError as missing:
        pytest.skip(str(missing))
    async with BrowserEngine(choice) as browser:
        run = await run_of(guide, "front-page", browser=browser)
    assert run.failure is None
    [step] = run.steps
    assert step.pages[0].ready_ns is not None


async def run_of(guide: Registry, name: str, *, browser: BrowserEngine | None) -> Run:
    """Run one of the guide's scenarios against a server that has what the guide assumes."""
    drafts: dict[str, object] = {}
    routes = {"/health": health, "/drafts": drafts_in(drafts), "/drafts/{id}": draft_in(drafts), "/page": page}
    async with open_target({**routes, "/upload": health}) as server, HttpEngine() as engine:
        environment = RunEnvironment(
            clock=SystemClock(),
            http=engine,
            target=a_target(server.url),
            catalog=open_catalog(),
            browser=browser,
            platform_factory=SmallPlatform,
        )
        run = await run_scenario(guide.get(name), environment=environment)
    assert drafts == {}
    return run


def a_target(url: str) -> Target:
    """A target that allows writing and says how to upload and analyse."""
    operation = Operation(requests=(Request(method="GET", url="{api}/upload"),))
    return Target(
        name="small",
        path=Path("small.toml"),
        bases={"api": url},
        allows=Permissions(writes=True),
        operations={"upload": operation, "analyse": operation},
    )


async def health(request: web.Request) -> web.StreamResponse:
    """Healthy, and it takes whatever is sent."""
    await request.read()
    return web.json_response({"status": "healthy"})


async def page(request: web.Request) -> web.StreamResponse:
    """A page with a button."""
    text = "<!doctype html><title>Front</title><link rel=icon href=data:,><button>Go</button>"
    return web.Response(text=text, content_type="text/html")


def drafts_in(drafts: dict[str, object]):  # type: ignore[no-untyped-def] # noqa: ANN201 - a handler for aiohttp
    """Takes a new draft."""

    async def create(request: web.Request) -> web.StreamResponse:
        drafts["d-1"] = json.loads(await request.read())
        return web.json_response({"id": "d-1"}, status=201)

    return create


def draft_in(drafts: dict[str, object]):  # type: ignore[no-untyped-def] # noqa: ANN201 - a handler for aiohttp
    """Shows or removes a draft."""

    async def show_or_remove(request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            del drafts[request.match_info["id"]]
            return web.Response(status=204)
        return web.json_response(drafts[request.match_info["id"]])

    return show_or_remove


@dataclass(frozen=True)
class TrueAnswer:
    """What an honest platform says of a part."""

    volume_mm3: float
    area_mm2: float
    bbox_mm: tuple[float, float, float]


class SmallPlatform:
    """As much of a platform's client as the guide uses; it really sends the file, and answers with the truth."""

    def __init__(self, probe: Journey) -> None:
        self._probe = probe
        self._url = probe.target.base("api") + "/upload"

    async def prepare(self, *operations: str) -> None:
        """No sign-in here."""

    async def upload(self, part: Part) -> Part:
        """Send the file."""
        await self._probe.request("POST", self._url, body=FileBody(part.path))
        return part

    async def analyse(self, upload: Part) -> TrueAnswer:
        """Ask, and answer with the truth."""
        await self._probe.request("GET", self._url)
        assert upload.geometry is not None
        truth = upload.geometry
        return TrueAnswer(truth.volume_mm3.value, truth.area_mm2.value, truth.bbox_mm)
