"""A release as the fleet remembers it: what went where, when, how the gate ended and why; as a record, and as JSON.

Strict about what comes in: every text is one bounded line without control characters, an address begins with http:// or https://,
instants have a zone. Refuses to send and to store. Called by the commands `smoke` and `releases` and by the collector.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from probes.errors import OperatorError

__all__ = [
    "MOST_BY",
    "MOST_CAUSE",
    "MOST_NAME",
    "MOST_TARGET",
    "MOST_TEXT",
    "SCHEMA_VERSION",
    "ReleaseDocument",
    "ReleaseMarker",
    "ReleaseOutcome",
    "parse_release",
    "release_of",
    "render_release",
]

SCHEMA_VERSION: Final = 1
MOST_NAME: Final = 80
MOST_TARGET: Final = 120
MOST_BY: Final = 120
MOST_CAUSE: Final = 400
MOST_TEXT: Final = 500
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_IDENTITY_DIGITS: Final = 32


class ReleaseOutcome(StrEnum):
    """How the gate ended: its answers, `interrupted` where somebody stopped it, `no_gate` where there was none."""

    PASS = "pass"  # noqa: S105 - a word of a verdict
    FAIL = "fail"
    UNDECIDED = "undecided"
    INCONCLUSIVE = "inconclusive"
    INTERRUPTED = "interrupted"
    NO_GATE = "no_gate"


@dataclass(frozen=True, slots=True)
class ReleaseMarker:
    """One release of a target. Without a gate it began and ended at one instant.

    `environment`, `cause`, `by`, `report_url` and `note` may be empty.
    """

    name: str
    target: str
    began_at: datetime
    ended_at: datetime
    outcome: ReleaseOutcome = ReleaseOutcome.NO_GATE
    environment: str = ""
    cause: str = ""
    by: str = ""
    report_url: str = ""
    note: str = ""

    @property
    def identity(self) -> str:
        """The same for the same release however often it is told: 32 hexadecimal digits of what, where and since when."""
        words = [self.name, self.target, self.environment, self.began_at.astimezone(UTC).isoformat()]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:_IDENTITY_DIGITS]

    @property
    def has_gate(self) -> bool:
        """Whether a gate looked at it."""
        return self.outcome is not ReleaseOutcome.NO_GATE


def _plain(text: str) -> str:
    """One line without control characters and without what turns the direction of writing."""
    stripped = text.strip()
    if not stripped.isprintable():
        raise ValueError("must be one line without control characters")
    return stripped


def _web_address(text: str) -> str:
    address = _plain(text)
    if not address:
        return ""
    parts = urlsplit(address)
    # Asking for the port is what has a wrong one refused.
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0 or " " in address:
        raise ValueError("must be an address that begins with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user and no password")
    return address


def _sensible(instant: datetime) -> datetime:
    if not EARLIEST <= instant <= LATEST:
        raise ValueError("must be an instant of this century")
    return instant


Line = Annotated[str, Field(max_length=MOST_TEXT), AfterValidator(_plain)]
Instant = Annotated[AwareDatetime, AfterValidator(_sensible)]


class ReleaseDocument(BaseModel):
    """A release on its way: the body of a request, or a file. Without `ended_at` it took no time."""

    model_config = ConfigDict(strict=True, frozen=True)

    schema_version: Literal[1]
    name: Annotated[str, Field(min_length=1, max_length=MOST_NAME), AfterValidator(_plain)]
    target: Annotated[str, Field(min_length=1, max_length=MOST_TARGET), AfterValidator(_plain)]
    began_at: Instant
    ended_at: Instant | None = None
    outcome: ReleaseOutcome = ReleaseOutcome.NO_GATE
    environment: Annotated[str, Field(max_length=MOST_NAME), AfterValidator(_plain)] = ""
    cause: Annotated[str, Field(max_length=MOST_CAUSE), AfterValidator(_plain)] = ""
    by: Annotated[str, Field(max_length=MOST_BY), AfterValidator(_plain)] = ""
    report_url: Annotated[str, Field(max_length=MOST_TEXT), AfterValidator(_web_address)] = ""
    note: Line = ""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.name or not self.target:
            raise ValueError("a release has a name and a target")
        if self.ended_at is not None and self.ended_at < self.began_at:
            raise ValueError("it ended before it began")
        return self

    def marker(self) -> ReleaseMarker:
        """The record of it."""
        return ReleaseMarker(
            name=self.name,
            target=self.target,
            began_at=self.began_at,
            ended_at=self.ended_at or self.began_at,
            outcome=self.outcome,
            environment=self.environment,
            cause=self.cause,
            by=self.by,
            report_url=self.report_url,
            note=self.note,
        )


def render_release(marker: ReleaseMarker) -> bytes:
    """The record as JSON, for a request or a file."""
    document: dict[str, object] = {"schema_version": SCHEMA_VERSION, **asdict(marker)}
    for name in ("began_at", "ended_at"):
        document[name] = getattr(marker, name).astimezone(UTC).isoformat()
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def parse_release(raw: bytes, *, where: str) -> ReleaseMarker:
    """The record of such JSON; keys that nobody knows are left alone. Raises OperatorError that says what is wrong."""
    try:
        return ReleaseDocument.model_validate_json(raw).marker()
    except ValidationError as error:
        raise _refusal(error, where) from error


def release_of(fields: Mapping[str, object], *, where: str) -> ReleaseMarker:
    """A record of these fields of `ReleaseDocument`; raises OperatorError that says what is wrong."""
    try:
        return ReleaseDocument.model_validate({"schema_version": SCHEMA_VERSION, **fields}).marker()
    except ValidationError as error:
        raise _refusal(error, where) from error


def _refusal(error: ValidationError, where: str) -> OperatorError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    text = str(first["msg"]).removeprefix("Value error, ")
    return OperatorError(f"{place}: {text}" if place else text, where=where)
