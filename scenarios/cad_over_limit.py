"""Scenario `cad-over-limit`: the limit for files is where the platform says it is, and is defended politely.

A file of exactly the limit is taken; one byte more is refused with a status and a message that a customer can understand,
and quickly: never by a server error, a reset connection or silence.
"""

from __future__ import annotations

from probes.journey import Journey
from probes.registry import scenario
from scenarios.expectations import expect_refusal
from scenarios.platform import part_attributes


@scenario("cad-over-limit", every="1h", timeout="5m", writes=True, needs=("upload", "parts.over_limit"), tags=("cad",))
async def cad_over_limit(probe: Journey) -> None:
    """Send a file that is one byte too large and expect a polite refusal; one that just fits is taken."""
    platform = probe.platform
    await platform.prepare("upload", "delete_upload")
    for part in [probe.part(part_id) for part_id in probe.target.parts.over_limit]:
        async with probe.step("refuse", deadline_s=30, **part_attributes(part)):
            answer = await platform.offer(part)
        expect_refusal(probe, answer, f"a file of {part.file_bytes} bytes")
    for part in [probe.part(part_id) for part_id in probe.target.parts.at_limit]:
        async with probe.step("upload", deadline_s=120, **part_attributes(part)):
            await platform.upload(part)
