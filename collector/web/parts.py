"""Every part of the pages, one line each. Called by `collector.web.server`."""

from __future__ import annotations

from typing import Final

from collector.web import (
    routes_ack,
    routes_alerts,
    routes_api,
    routes_badges,
    routes_compare,
    routes_evidence,
    routes_fleet,
    routes_levels,
    routes_metrics,
    routes_overview,
    routes_releases,
    routes_runs,
    routes_session,
    routes_status,
)
from collector.web.registry import Part

__all__ = ["PARTS"]

PARTS: Final[tuple[Part, ...]] = (
    routes_metrics.PART,
    routes_overview.PART,
    routes_levels.PART,
    routes_runs.PART,
    routes_evidence.PART,
    routes_alerts.PART,
    routes_ack.PART,
    routes_fleet.PART,
    routes_compare.PART,
    routes_releases.PART,
    routes_status.PART,
    routes_api.PART,
    routes_badges.PART,
    routes_session.PART,
)
