"""What tests of journeys share: a small real HTTP target, and one call that runs a script against it.

Refuses to imitate anything of ours: the engine, the executor and the sockets are the real ones. Used by tests named journey.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from probes.clock import Clock, SystemClock
from probes.execute import RunEnvironment, run_scenario
from probes.http import HttpEngine
from probes.journey import Journey
from probes.records import Attribute, Run, Step
from probes.registry import scenario, spec_of
from probes.steps import RunObserver
from tests.target_kit import target_at

__all__ = ["SmallTarget", "Watcher", "open_target", "run_script"]

Script = Callable[[Journey], Awaitable[None]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class SmallTarget:
    """A server that answers `/ok` with JSON, any status at `/status/N`, and nothing at all at `/silent`."""

    url: str
    seen: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)


@asynccontextmanager
async def open_target(extra: Mapping[str, Handler] | None = None) -> AsyncIterator[SmallTarget]:
    """Serve on a free port of 127.0.0.1 until the end of the block; `extra` adds GET and POST routes."""
    target = SmallTarget("")

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        target.seen.append((request.method, request.path, request.headers.copy()))
        return await handler(request)

    application = web.Application(middlewares=[note])
    application.router.add_route("*", "/ok", answer_ok)
    application.router.add_route("*", "/status/{status}", answer_status)
    for path, handler in (extra or {}).items():
        application.router.add_route("*", path, handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        target.url = f"http://{host}:{port}"
        yield target
    finally:
        await runner.cleanup()


async def answer_ok(request: web.Request) -> web.StreamResponse:
    """A small document."""
    return web.json_response({"status": "healthy", "parts": [{"id": 7}]})


async def answer_status(request: web.Request) -> web.StreamResponse:
    """The status that the path asks for."""
    headers = {"Retry-After": "30"} if request.match_info["status"] == "429" else {}
    return web.Response(status=int(request.match_info["status"]), text="as you asked", headers=headers)


async def run_script(
    script: Script,
    url: str = "http://127.0.0.1:9",
    *,
    clock: Clock | None = None,
    time_limit: str = "100s",
    observer: RunObserver | None = None,
    **environment: object,
) -> Run:
    """Run the function as a scenario, by the real executor and a real engine."""
    if not script.__doc__:
        script.__doc__ = "A script of a test."
    spec = spec_of(scenario("a-script", timeout=time_limit)(script))
    async with HttpEngine() as engine:
        chosen = RunEnvironment(clock=clock or SystemClock(), http=engine, target=target_at(url), **environment)  # type: ignore[arg-type] # a test names the fields it sets
        return await run_scenario(spec, environment=chosen, observer=observer)


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.started: list[tuple[str, dict[str, Attribute]]] = []
        self.finished: list[Step] = []
        self.sent_bytes: list[tuple[int, int]] = []
        self.runs: list[tuple[str, str]] = []

    def run_started(self, run_id: str, scenario: str) -> None:
        """Note the run."""
        self.runs.append((run_id, scenario))

    def step_started(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """Note the step."""
        self.started.append((name, dict(attributes)))

    def sent(self, sent_bytes: int, total_bytes: int) -> None:
        """Note the progress."""
        self.sent_bytes.append((sent_bytes, total_bytes))

    def step_finished(self, step: Step) -> None:
        """Note the end."""
        self.finished.append(step)
