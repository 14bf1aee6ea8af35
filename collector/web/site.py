"""What every page may use: the store, the objectives, the settings of the pages, a clock. One value, made by the wiring.

Refuses to open anything. Called by `collector.web.server` and by every module of pages through `site_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from collector.alerting.notice import NoOutbox, Outbox
from collector.score_upkeep import ObjectiveSource
from collector.store import Store
from probes.clock import Clock
from probes.health import PageMaker

__all__ = ["SITE", "Site", "site_of"]


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages are about.

    `database` is the address of the store for whoever opens it again; it may hold a password. `target` is shown where nobody asks
    for another, empty: the first that is stored. `timeouts_s` are the scenarios' own. The tokens are by the name of their secret.
    `metrics` makes the page `/metrics`; None: there is none.
    `public_url` without a slash at its end; empty: as the pages listen. Into the `outbox` goes what people are told.
    With `ack_key` the links of messages are signed; without it there are none.
    """

    store: Store
    database: str
    objectives: ObjectiveSource
    clock: Clock
    fleet: str
    regions: tuple[str, ...]
    target: str = ""
    timeouts_s: Mapping[str, float] = field(default_factory=dict)
    read_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    operate_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    public_url: str = ""
    evidence_dir: Path | None = None
    outbox: Outbox = field(default_factory=NoOutbox)
    ack_key: bytes = field(default=b"", repr=False)
    metrics: PageMaker | None = None


SITE: Final = web.AppKey("site", Site)


def site_of(request: web.Request) -> Site:
    """The site that a request is for."""
    return request.app[SITE]
