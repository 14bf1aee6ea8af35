"""Scenario `cad-small`: the same bracket in every format; each must give the same, true answer."""

from __future__ import annotations

from probes.journey import Journey
from probes.registry import scenario
from scenarios.platform import part_attributes


@scenario(
    "cad-small", every="15m", timeout="4m", writes=True, needs=("upload", "analyse", "parts.small"), tags=("cad",)
)
async def cad_small(probe: Journey) -> None:
    """Upload a small part of every format, wait for its analysis, compare the answer with the part."""
    platform = probe.platform
    await platform.prepare("upload", "analyse", "read_upload", "delete_upload")
    for part in [probe.part(part_id) for part_id in probe.target.parts.small]:
        async with probe.step("upload", deadline_s=20, **part_attributes(part)):
            upload = await platform.upload(part)
        async with probe.step("analyse", deadline_s=45, **part_attributes(part)):
            analysis = await platform.analyse(upload)
        probe.expect_geometry(analysis, part)
        if platform.can_read_back(upload):
            async with probe.step("read-back", deadline_s=20, **part_attributes(part)):
                await platform.read_back(upload)
