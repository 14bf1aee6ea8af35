"""The options by which a collector is told of a release, of `smoke` and of `releases`. Refuses to look anything up.

Parses and checks shapes. Called by `console.command_line`; read by `console.gate_release` and `console.releases_command`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from probes.errors import OperatorError

__all__ = ["ReleaseOptions", "add_release_options", "release_options_of"]

_MOST_ADDRESS: Final = 500


@dataclass(frozen=True, slots=True)
class ReleaseOptions:
    """`name` is that of --release; `url` is where the collector's pages are, without a slash at its end; `at` is as typed."""

    name: str = ""
    url: str = ""
    environment: str = ""
    report_url: str = ""
    at: str = ""


def add_release_options(parser: argparse.ArgumentParser) -> None:
    """The group of them."""
    group = parser.add_argument_group("releases")
    group.add_argument(
        "--release", metavar="NAME", help="tell the collector how the gate of this release ended (smoke)"
    )
    group.add_argument(
        "--announce", metavar="URL", help="where the collector's pages are; default: the setting releases.url"
    )
    group.add_argument("--environment", metavar="NAME", help="where it was released, such as staging")
    group.add_argument("--report-url", metavar="URL", help="where the report is; default: the page of the CI job")
    group.add_argument(
        "--at", metavar="INSTANT", help="when it was released: 2026-10-03T02:00Z; default: now (releases add)"
    )


def release_options_of(found: argparse.Namespace) -> ReleaseOptions | None:
    """The options; None when none was given. Raises OperatorError for an address that is none and for an empty name."""
    given = (found.release, found.announce, found.environment, found.report_url, found.at)
    if all(one is None for one in given):
        return None
    if found.release is not None and not found.release.strip():
        raise OperatorError("a release needs a name", where="--release", remedy="--release 2026.11.3")
    return ReleaseOptions(
        name=(found.release or "").strip(),
        url=_address(found.announce),
        environment=found.environment or "",
        report_url=found.report_url or "",
        at=found.at or "",
    )


def _address(text: str | None) -> str:
    """Where pages are; what stands in it of a user is not repeated."""
    if text is None:
        return ""
    remedy = "Name the collector's pages: --announce https://fleet.example"
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not text.isprintable() or " " in text or len(text) > _MOST_ADDRESS:
        raise OperatorError("it is no address that begins with http:// or https://", where="--announce", remedy=remedy)
    if "@" in parts.netloc or parts.query or parts.fragment:
        message = "it holds more than an address: a user, a query or a fragment"
        raise OperatorError(
            message, where="--announce", remedy=f"{remedy}; the token is the secret that releases.token names"
        )
    return text.rstrip("/")
