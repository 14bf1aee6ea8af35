"""The settings of what the collector passes on to other systems, group `[exports]`.

Refuses to connect to any. Called by `probes.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.settings_words import HttpOrNone, NameOrNone, Strict

__all__ = ["ExportsFile", "ExportsSettings", "exports_of"]


class ExportsFile(Strict):
    """The keys of the group."""

    otlp_url: HttpOrNone
    otlp: NameOrNone
    sentry: NameOrNone
    posthog_url: HttpOrNone
    posthog: NameOrNone


@dataclass(frozen=True, slots=True)
class ExportsSettings:
    """`otlp_url` takes traces as OTLP over HTTP. `sentry` and `posthog` are names of secrets: a DSN and a project's key.

    `otlp` is the name of the secret with the whole value of the header `Authorization`.

    Empty: nothing is passed on there.
    """

    otlp_url: str
    otlp: str
    sentry: str
    posthog_url: str
    posthog: str


def exports_of(file: ExportsFile) -> ExportsSettings:
    """The group as the rest of the program reads it."""
    return ExportsSettings(file.otlp_url, file.otlp, file.sentry, file.posthog_url.rstrip("/"), file.posthog)
