"""A probe that is stopped in the middle of a request (a paused machine, a debugger): it charges nobody, and its times hold."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.journey_kit import open_target

REPOSITORY = Path(__file__).parents[2]
STOPPED_S = 1.5
PROBE = """
import asyncio, json, sys
from probes.fitness import FitnessSampler
from probes.journey import Journey
from tests.journey_kit import run_script

async def script(probe: Journey) -> None:
    "Ask once."
    async with probe.step("ask", deadline_s=float(sys.argv[2])):
        await probe.request("GET", sys.argv[1])

async def main() -> None:
    async with FitnessSampler() as fitness:
        run = await run_script(script, sys.argv[1], fitness=fitness)
    phases = [[exchange.phases.queue_ns, exchange.phases.wait_ns] for exchange in run.steps[0].exchanges]
    print(json.dumps({"outcome": run.outcome, "reasons": run.fitness.reasons, "phases": phases}))

asyncio.run(main())
"""


async def probe_stopped_before_its_answer(deadline_s: float) -> Any:  # noqa: ANN401 - JSON
    """What a probe found that was stopped when its request had come; the answer came at once, to a process that stood still."""
    pids: asyncio.Queue[int] = asyncio.Queue()

    async def stop_and_answer(_request: web.Request) -> web.StreamResponse:
        pid = await pids.get()
        os.kill(pid, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(STOPPED_S, os.kill, pid, signal.SIGCONT)
        return web.json_response({})

    async with open_target({"/stop": stop_and_answer}) as target:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROBE, f"{target.url}/stop", str(deadline_s), cwd=REPOSITORY, stdout=-1
        )
        pids.put_nowait(process.pid)
        said, _ = await asyncio.wait_for(process.communicate(), 60)
    return json.loads(said)


@pytest.mark.parametrize("deadline_s", [STOPPED_S / 2, 10])
async def test_a_probe_that_was_stopped_says_nothing_about_the_platform(deadline_s: float) -> None:
    """Whether its deadline passed meanwhile or not."""
    found = await probe_stopped_before_its_answer(deadline_s)
    assert found["outcome"] == "inconclusive"
    assert "our event loop was late" in found["reasons"][0]


async def test_the_time_for_which_a_probe_was_stopped_is_not_the_platforms() -> None:
    """The kernel stamped the answer when it came; that nobody read it is on us."""
    found = await probe_stopped_before_its_answer(10)
    [[queue_ns, wait_ns]] = found["phases"]
    assert wait_ns < STOPPED_S * 1e9 / 2
    assert queue_ns > STOPPED_S * 1e9 / 2
