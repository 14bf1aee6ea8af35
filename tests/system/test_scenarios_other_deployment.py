"""A deployment with other paths, bodies, units and result fields is probed with nothing but a TOML file."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from fixtures.cad.catalog import open_catalog
from probes.clock import SystemClock
from probes.execute import RunEnvironment
from probes.http import HttpEngine
from probes.parts import Geometry
from probes.records import FailureKind, Outcome
from probes.targets import load_target
from scenarios.platform import open_platform
from tests.scenario_kit import describe, run_built_in

KEY = "k-" + "7" * 20
INCH_MM = 25.4
LIMIT_BYTES = 60_000

DESCRIPTION = """
name = "other"
quantities = [2, 5]

[bases]
v2 = "http://127.0.0.1:1/gateway/v2"

[values]
user = "robot-7"
currency = "EUR"

[secrets.key]
file = "key.txt"

[allows]
writes = true

[refusal]
statuses = [409, 413]
message = "fault.reason"

[parts]
small = ["bracket", "bracket-brep"]
large = ["clean_block"]
over_limit = ["heat_sink"]
quote = ["bracket"]

# Health is one number in a list; the instant is another route's.
[[operations.api_health.requests]]
method = "POST"
url = "{v2}/rpc"
json = { call = "ping", n = 3 }
[operations.api_health.requests.checks]
answer = { path = "out[0]", equals = 3 }
load = { path = "out[1]", least = 0, most = 1 }

[[operations.sign_in.requests]]
method = "PUT"
url = "{v2}/door/{value.user}"
headers = { X-Key = "{secret.key}" }
accept = [202]
[operations.sign_in.requests.results]
token = { path = "ticket.value", secret = true }

# Three requests: announce, send to where the platform says, finish. All of them want the ticket.
[[operations.upload.requests]]
method = "POST"
url = "{v2}/parcels"
headers = { X-Ticket = "{sign_in.token}" }
json = { label = "{file_name}", octets = "{file_bytes}", digest = "sha256:{sha256}" }
accept = [201, 409]
[operations.upload.requests.results]
parcel = "parcel"
send_to = "put"
[[operations.upload.requests]]
method = "PUT"
url = "{send_to}"
file = true
accept = [204]
answer = "none"
[[operations.upload.requests]]
method = "POST"
url = "{v2}/parcels/{parcel}/sealed"
headers = { X-Ticket = "{sign_in.token}" }
results = { stored_bytes = "octets" }

[[operations.analyse.requests]]
url = "{v2}/measure?parcel={upload.parcel}"
headers = { X-Ticket = "{sign_in.token}" }
poll = { first_s = 0.01, deadline_s = 5, pending = "phase != 'done'" }
[operations.analyse.requests.results]
volume_mm3 = { path = "solid.v", unit = "in3" }
area_mm2 = { path = "solid.a", unit = "m2" }
bbox_mm = { path = "solid.extent", unit = "in" }

[[operations.price.requests]]
url = "{v2}/price/{quantity}?litres={volume_mm3}"
[operations.price.requests.results]
currency = "in"
unit_price = { path = "each_minor", unit = "hundredths" }
total_price = { path = "all_minor", unit = "hundredths" }

[[operations.quote.requests]]
method = "POST"
url = "{v2}/offers"
headers = { X-Ticket = "{sign_in.token}" }
multipart = [{ name = "parcel", value = "{upload.parcel}" }, { name = "pieces", value = "{quantity}" }]
[operations.quote.requests.results]
quote_id = "offer.no"
currency = "offer.in"
total = { path = "offer.all_minor", unit = "hundredths" }
"""


@dataclass(slots=True)
class OtherPlatform:
    """A platform with shapes of its own; it knows the true measures of the parts that it is sent, by their hash."""

    url: str = ""
    ticket: str = ""
    parcels: dict[str, bytes] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    volume_factor: float = 1.0

    def routes(self) -> list[web.RouteDef]:
        """Nothing here is called as on the built-in targets."""
        base = "/gateway/v2"
        return [
            web.post(f"{base}/rpc", self.rpc),
            web.put(f"{base}/door/{{user}}", self.door),
            web.post(f"{base}/parcels", self.announce),
            web.put("/bucket/{parcel}", self.receive),
            web.post(f"{base}/parcels/{{parcel}}/sealed", self.seal),
            web.get(f"{base}/measure", self.measure),
            web.get(f"{base}/price/{{pieces}}", self.price),
            web.post(f"{base}/offers", self.offer),
        ]

    async def rpc(self, request: web.Request) -> web.Response:
        """Health."""
        return web.json_response({"out": [(await request.json())["n"], 0.25]})

    async def door(self, request: web.Request) -> web.Response:
        """Sign-in by key."""
        if request.headers.get("X-Key") != KEY or request.match_info["user"] != "robot-7":
            return web.json_response({"fault": {"reason": "no"}}, status=403)
        self.ticket = secrets.token_hex(8)
        return web.json_response({"ticket": {"value": self.ticket}}, status=202)

    async def announce(self, request: web.Request) -> web.Response:
        """First step of an upload."""
        self.check_ticket(request)
        body = await request.json()
        assert isinstance(body["octets"], int)
        if body["octets"] > LIMIT_BYTES:
            return web.json_response({"fault": {"reason": f"more than {LIMIT_BYTES} octets"}}, status=413)
        self.labels.append(body["label"])
        parcel = f"p-{len(self.labels)}"
        self.parcels[parcel] = b""
        return web.json_response({"parcel": parcel, "put": f"{self.url}/bucket/{parcel}?sig=a%2Fb"}, status=201)

    async def receive(self, request: web.Request) -> web.Response:
        """Second step: the bytes."""
        assert request.raw_path.endswith("?sig=a%2Fb")
        self.parcels[request.match_info["parcel"]] = await request.read()
        return web.Response(status=204)

    async def seal(self, request: web.Request) -> web.Response:
        """Third step."""
        self.check_ticket(request)
        return web.json_response({"octets": len(self.parcels[request.match_info["parcel"]])})

    async def measure(self, request: web.Request) -> web.Response:
        """Done at the third time of asking."""
        self.check_ticket(request)
        parcel = request.query["parcel"]
        self.asked[parcel] = self.asked.get(parcel, 0) + 1
        if self.asked[parcel] < 3:
            return web.json_response({"phase": "busy"})
        truth = known_geometry(self.parcels[parcel])
        solid = {
            "v": truth.volume_mm3.value / INCH_MM**3 * self.volume_factor,
            "a": truth.area_mm2.value / 1e6,
            "extent": [extent / INCH_MM for extent in truth.bbox_mm],
        }
        return web.json_response({"phase": "done", "solid": solid})

    async def price(self, request: web.Request) -> web.Response:
        """In cents."""
        pieces = int(request.match_info["pieces"])
        each = 1000 + 5000 // pieces
        return web.json_response({"in": "EUR", "each_minor": each, "all_minor": each * pieces})

    async def offer(self, request: web.Request) -> web.Response:
        """From a form."""
        self.check_ticket(request)
        pieces = int(str((await request.post())["pieces"]))
        cents = (1000 + 5000 // pieces) * pieces
        return web.json_response({"offer": {"no": 17, "in": "EUR", "all_minor": cents}})

    def check_ticket(self, request: web.Request) -> None:
        """Everything but health and prices wants it."""
        if not self.ticket or request.headers.get("X-Ticket") != self.ticket:
            raise web.HTTPForbidden


def known_geometry(content: bytes) -> Geometry:
    """The truth about a part by the hash of its bytes."""
    digest = hashlib.sha256(content).hexdigest()
    catalog = open_catalog()
    for part_id in ("bracket", "bracket-brep", "clean_block"):
        part = catalog.get(part_id)
        if part.sha256 == digest and part.geometry is not None:
            return part.geometry
    raise web.HTTPBadRequest


@asynccontextmanager
async def open_other(folder: Path, text: str = DESCRIPTION) -> AsyncIterator[tuple[OtherPlatform, RunEnvironment]]:
    """The platform, served, and an environment around its description."""
    platform = OtherPlatform()
    application = web.Application()
    application.add_routes(platform.routes())
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        platform.url = f"http://{host}:{port}"
        (folder / "other.toml").write_text(text, encoding="utf-8")
        (folder / "key.txt").write_text(f"{KEY}\n", encoding="utf-8")
        target = load_target(
            "other", environ={}, folders=(folder,), base_overrides={"v2": f"{platform.url}/gateway/v2"}
        )
        async with HttpEngine() as engine:
            yield (
                platform,
                RunEnvironment(
                    clock=SystemClock(),
                    http=engine,
                    target=target,
                    catalog=open_catalog(),
                    platform_factory=open_platform,
                ),
            )
    finally:
        await runner.cleanup()


STEPS = {
    "api-health": ["api-health"],
    "cad-small": ["sign-in", "upload", "analyse", "upload", "analyse"],
    "cad-large": ["sign-in", "upload", "analyse"],
    "cad-over-limit": ["sign-in", "refuse"],
    "quote": ["sign-in", "upload", "analyse", "price", "quote"],
}


@pytest.mark.parametrize("name", STEPS)
async def test_another_deployment_takes_a_file_and_no_code(name: str, tmp_path: Path) -> None:
    """Other paths, three-step upload, ticket in a header, inches, cents, another refusal: all of it is data."""
    async with open_other(tmp_path) as (platform, environment):
        run = await run_built_in(name, environment)
    assert run.outcome is Outcome.PASS, describe(run)
    assert [step.name for step in run.steps] == STEPS[name]
    assert all(label.startswith(run.run_id) for label in platform.labels)
    assert {effect.fate for effect in run.side_effects} <= {"kept"}
    assert KEY not in repr(run)
    assert platform.ticket not in repr(run) or not platform.ticket


async def test_a_wrong_answer_of_another_deployment_is_found_too(tmp_path: Path) -> None:
    """Units are converted, so a volume that is 1 % off is seen through cubic inches."""
    async with open_other(tmp_path) as (platform, environment):
        platform.volume_factor = 1.01
        run = await run_built_in("quote", environment)
    assert (run.failed_step, run.failure and run.failure.kind) == ("analyse", FailureKind.ASSERTION), describe(run)
    assert "volume" in str(run.failure)


async def test_a_result_that_is_not_where_the_description_says_is_a_failed_check(tmp_path: Path) -> None:
    """The message names the place."""
    text = DESCRIPTION.replace('"solid.v"', '"solid.volume"')
    async with open_other(tmp_path, text) as (_platform, environment):
        run = await run_built_in("cad-large", environment)
    assert run.failure is not None
    assert run.failure.kind is FailureKind.ASSERTION, describe(run)
    assert "solid.volume" in run.failure.message
