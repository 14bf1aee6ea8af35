"""Scenario `cad-invalid`: each bad file gets a clean answer, and none of them a quote."""

from __future__ import annotations

from probes.journey import Journey
from probes.records import FailureKind
from probes.registry import scenario
from scenarios.calls import Refused
from scenarios.expectations import expect_outcome, expect_refusal
from scenarios.platform import part_attributes

MUST_BE_TAKEN = ("accept", "accept_or_warn")
"""Files that only look bad; refusing one is no crime that this scenario is about."""


@scenario(
    "cad-invalid", every="6h", timeout="8m", writes=True, needs=("upload", "analyse", "parts.invalid"), tags=("cad",)
)
async def cad_invalid(probe: Journey) -> None:
    """Send files that are empty, cut off, mislabelled or broken; each is refused or flagged, none crashes the platform."""
    platform = probe.platform
    await platform.prepare("upload", "analyse", "quote", "delete_upload")
    parts = [probe.part(part_id) for part_id in platform.bad_part_ids()]
    for part in [part for part in parts if part.outcome not in MUST_BE_TAKEN]:
        async with probe.step("reject", deadline_s=30, keep_going=True, **part_attributes(part)) as step:
            upload = await platform.offer(part)
            answer = upload if isinstance(upload, Refused) else await platform.try_analyse(upload)
            expect_outcome(probe, answer, part)
            if part.outcome == "reject" and not isinstance(upload, Refused) and platform.can_quote_unmeasured():
                expect_refusal(probe, await platform.offer_quote(upload), f"a quote for {part.upload_name}")
        if step.failure is not None and step.failure.kind is FailureKind.TIMEOUT:
            return  # a platform that does not answer would use up the time of all the other files too
