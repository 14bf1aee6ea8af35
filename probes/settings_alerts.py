"""The settings of alerts and of the messages about them, groups `[alerts]` and `[alerts.channels.NAME]`.

Refuses to send anything. Called by `probes.settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from probes.settings_words import Name, NameOrNone, Strict

__all__ = ["AlertsFile", "AlertsSettings", "ChannelFile", "ChannelSettings", "alerts_of"]

SeverityName = Literal["critical", "high", "medium", "report"]


class ChannelFile(Strict):
    """The keys of one channel; `url` or the name of the secret that holds it."""

    kind: Literal["apprise", "alertmanager", "webhook"]
    url: str = ""
    secret: NameOrNone = ""
    signing: NameOrNone = ""
    severities: tuple[SeverityName, ...] | list[SeverityName] = ("critical", "high", "medium")

    @model_validator(mode="after")
    def _has_one_address(self) -> Self:
        if bool(self.url) == bool(self.secret):
            raise ValueError(
                "a channel needs url = its address, or secret = the name of a secret that holds it; not both"
            )
        if self.signing and self.kind != "webhook":
            raise ValueError("only messages of a webhook can be signed; leave out signing")
        if not self.severities:
            raise ValueError("a channel without severities hears nothing; leave the key out for all but reports")
        return self


class AlertsFile(Strict):
    """The keys of the group."""

    silent_minutes: Annotated[int, Field(ge=1)]
    coverage_percent: Annotated[float, Field(ge=0, le=100)]
    clock_s: Annotated[float, Field(gt=0)]
    certificate_days: Annotated[int, Field(ge=0)]
    heartbeat_url: str
    heartbeat: NameOrNone
    heartbeat_every_s: Annotated[float, Field(gt=0)]
    ack_key: NameOrNone
    channels: Mapping[Name, ChannelFile] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """A way to reach somebody. `url` or, where that holds a password, `secret`: the name of a secret with the URL.

    `signing`: the name of the secret that a webhook's messages are signed with; empty: they are not.
    """

    name: str
    kind: str
    url: str
    secret: str
    signing: str
    severities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AlertsSettings:
    """When the fleet itself gives reason to worry, and who is told.

    A probe is silent after `silent_minutes`; coverage is low below `coverage_percent` of the last hour's slots; a clock is off
    beyond `clock_s` seconds; a certificate is near its end at `certificate_days`. `heartbeat_url`, or the
    address in the secret called `heartbeat`, is asked every `heartbeat_every_s` seconds while all is well; both empty: none.
    `ack_key` is the name of the secret that signs the links in messages; empty: a key that the database keeps.
    """

    silent_minutes: int
    coverage_percent: float
    clock_s: float
    certificate_days: int
    heartbeat_url: str
    heartbeat: str
    heartbeat_every_s: float
    ack_key: str
    channels: tuple[ChannelSettings, ...]


def alerts_of(file: AlertsFile) -> AlertsSettings:
    """The group as the rest of the program reads it."""
    return AlertsSettings(
        silent_minutes=file.silent_minutes,
        coverage_percent=file.coverage_percent,
        clock_s=file.clock_s,
        certificate_days=file.certificate_days,
        heartbeat_url=file.heartbeat_url,
        heartbeat=file.heartbeat,
        heartbeat_every_s=file.heartbeat_every_s,
        ack_key=file.ack_key,
        channels=tuple(
            ChannelSettings(name, one.kind, one.url, one.secret, one.signing, tuple(dict.fromkeys(one.severities)))
            for name, one in file.channels.items()
        ),
    )
