"""Under what a run was made: versions, target, addresses, input files; what a failed run takes along to be made again.

Collected when a gate starts, so that it is what held then. Refuses secrets: base URLs lose user and password, and the target's
file names where secrets are, never what they are. Called by `console.smoke_command` and `console.replay_command`.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from fixtures.cad.catalog import open_catalog
from probes.errors import FleetError
from probes.execute import RunEnvironment
from probes.records import Run
from probes.settings import Settings
from probes.targets import Target
from probes.version import VERSION

__all__ = ["Circumstances", "changes", "collect", "inputs_of"]

_LOOKUP_DEADLINE_S: Final = 5.0
_PART: Final = "cad.part"


class Circumstances(BaseModel):
    """What may differ between two runs of one scenario, beside the platform itself. `dns`: host to its addresses, sorted."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    fleet_version: str
    python: str
    system: str
    browser: str
    target: str
    target_file_sha256: str
    is_stand_in: bool
    bases: dict[str, str]
    dns: dict[str, list[str]]
    region: str


async def collect(environment: RunEnvironment) -> Circumstances:
    """What holds now; a name that does not resolve within some seconds has no addresses."""
    target = environment.target
    bases = {name: _without_account(url) for name, url in target.bases.items()}
    hosts = sorted({urlsplit(url).hostname or "" for url in bases.values()} - {""})
    found = await asyncio.gather(*[_addresses(host) for host in hosts])
    return Circumstances(
        fleet_version=VERSION,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        browser="" if environment.browser is None else environment.browser.version,
        target=target.name,
        target_file_sha256=_hash_of(target),
        is_stand_in=target.is_stand_in,
        bases=bases,
        dns=dict(zip(hosts, found, strict=True)),
        region=environment.region,
    )


def _without_account(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _hash_of(target: Target) -> str:
    try:
        return hashlib.sha256(target.path.read_bytes()).hexdigest()
    except OSError:
        return ""


async def _addresses(host: str) -> list[str]:
    try:
        async with asyncio.timeout(_LOOKUP_DEADLINE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return []
    return sorted({str(entry[4][0]) for entry in found})


def inputs_of(run: Run, settings: Settings) -> dict[str, str]:
    """The reference parts that a run used, by their SHA-256; empty text where the catalog has none of that name."""
    catalog = open_catalog(settings.parts_dir)
    hashes: dict[str, str] = {}
    for step in run.steps:
        part_id = step.attributes.get(_PART)
        if isinstance(part_id, str) and part_id not in hashes:
            try:
                hashes[part_id] = catalog.get(part_id).sha256
            except (FleetError, KeyError, OSError):
                hashes[part_id] = ""
    return hashes


def changes(now: Circumstances, then: Circumstances) -> tuple[str, ...]:
    """One line for each circumstance that is different `now`; ports of a stand-in of our own are no difference."""
    lines = [
        f"{name.replace('_', ' ')}: {getattr(now, name) or 'none'} now, {getattr(then, name) or 'none'} then"
        for name in ("fleet_version", "python", "system", "browser", "target", "target_file_sha256", "region")
        if getattr(now, name) != getattr(then, name)
    ]
    if not (now.is_stand_in and then.is_stand_in):
        lines += _mapped("base", now.bases, then.bases)
    told = {host: ", ".join(addresses) for host, addresses in now.dns.items()}
    before = {host: ", ".join(addresses) for host, addresses in then.dns.items()}
    return (*lines, *_mapped("addresses of", told, before))


def _mapped(word: str, now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    return [
        f"{word} {name}: {now.get(name) or 'none'} now, {then.get(name) or 'none'} then"
        for name in sorted({*now, *then})
        if now.get(name) != then.get(name)
    ]
