"""The pages beside a collector: what of the settings they are told, and what is said when their extra is not installed.

Refuses to keep a collector from collecting: without the extra it runs without pages and says so. A port that is taken is an
error, for then somebody else answers where people look. Called by `console.collector_command`.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from collector.score_upkeep import ObjectiveSource
from collector.store import Store
from console.desk import Desk
from console.fleet_places import database_login, database_of
from console.messages_wiring import ack_key_for, outbox_of
from console.pages_place import PAGES_EXTRA, has_pages
from console.wiring import load_scenarios
from probes.health import PageMaker

__all__ = ["has_pages", "open_pages_beside", "place_for_pages"]

_MISSING = "no pages: the package {name!r} is not installed. Type: pip install 'probe-fleet[pages]', or set pages.listen to \"\""


@asynccontextmanager
async def open_pages_beside(
    desk: Desk, store: Store, objectives: ObjectiveSource, *, metrics: PageMaker | None = None
) -> AsyncIterator[str]:
    """Serve the pages for the length of the block, where the settings want them; yields their address or nothing.

    Raises DependencyError when the port is taken, OperatorError for a token that is named and not there.
    """
    pages = desk.settings.pages
    if not pages.listen:
        yield ""
        return
    try:
        from collector.web.server import open_pages  # noqa: PLC0415 - pages are an extra of the install
        from collector.web.site import Site  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in PAGES_EXTRA:
            raise
        desk.say(_MISSING.format(name=error.name))
        yield ""
        return
    settings = desk.settings
    site = Site(
        store=store,
        database=database_login(database_of(desk.arguments.database, settings), settings),
        objectives=objectives,
        clock=desk.clock,
        fleet=settings.fleet,
        regions=settings.regions,
        target=settings.target,
        timeouts_s={spec.name: spec.timeout_s for spec in load_scenarios(desk.arguments, settings)},
        read_tokens=_tokens(desk, pages.read_tokens),
        operate_tokens=_tokens(desk, pages.operate_tokens),
        public_url=pages.public_url,
        evidence_dir=settings.evidence_dir,
        outbox=outbox_of(desk),
        ack_key=await ack_key_for(desk, store),
        metrics=metrics,
    )
    async with open_pages(site, pages.listen) as url:
        desk.say(f"pages: {pages.public_url or url}")
        yield url


def place_for_pages(listen: str) -> str:
    """Where pages of a fleet on one machine can be: as asked for, or on a free port where another one has that; empty: none.

    The port is free at this moment, and nobody keeps it: a fleet that loses it a moment later says so and tries again.
    """
    if not listen or not has_pages():
        return ""
    host, _, port_text = listen.rpartition(":")
    for port in (int(port_text), 0):
        try:
            with socket.create_server((host, port)) as found:
                return f"{host}:{found.getsockname()[1]}"
        except (OSError, OverflowError):
            continue
    return ""


def _tokens(desk: Desk, names: Sequence[str]) -> dict[str, str]:
    return {name: desk.settings.secret(name).get_secret_value() for name in names}
