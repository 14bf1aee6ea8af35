"""Scenario `cad-large`: parts just under the limit for files, by both readings of "50 MB"."""

from __future__ import annotations

from probes.journey import Journey
from probes.registry import scenario
from scenarios.platform import part_attributes


@scenario(
    "cad-large", every="15m", timeout="8m", writes=True, needs=("upload", "analyse", "parts.large"), tags=("cad",)
)
async def cad_large(probe: Journey) -> None:
    """Upload a part just under the 50 MB limit, wait for its analysis, check the answer; then by the other reading of MB."""
    platform = probe.platform
    await platform.prepare("upload", "analyse", "delete_upload")
    for part in [probe.part(part_id) for part_id in probe.target.parts.large]:
        async with probe.step("upload", deadline_s=120, **part_attributes(part)):
            upload = await platform.upload(part)
        async with probe.step("analyse", deadline_s=120, **part_attributes(part)):
            analysis = await platform.analyse(upload)
        probe.expect_geometry(analysis, part)
