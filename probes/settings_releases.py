"""The settings of whoever tells a collector of releases, group `[releases]`.

Refuses to send. Called by `probes.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.settings_words import HttpOrNone, Name, Strict

__all__ = ["ReleasesFile", "ReleasesSettings", "releases_of"]


class ReleasesFile(Strict):
    """The keys of the group."""

    url: HttpOrNone
    token: Name


@dataclass(frozen=True, slots=True)
class ReleasesSettings:
    """`url` is where the collector's pages are, without a slash at its end; empty: nowhere.

    `token` is the name of the secret with a token that may operate there.
    """

    url: str
    token: str


def releases_of(file: ReleasesFile) -> ReleasesSettings:
    """The group as the rest of the program reads it."""
    return ReleasesSettings(file.url.rstrip("/"), file.token)
