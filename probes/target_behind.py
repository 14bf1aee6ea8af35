"""What stands behind a platform, as a description may say it: its backups, a server to restore them on, its service address.

Data only, with templates for whatever differs between deployments; nothing is looked up or requested here. Called by
`probes.target_model`; the scenarios `backups`, `restore-drill` and `failover` read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from probes.forms import form
from probes.target_strict import Seconds, Strict
from probes.templates import names_in

__all__ = ["BACKUP_SECRETS", "DAY", "Backups", "Drill", "Failover"]

BACKUP_SECRETS = ("backups_key_id", "backups_secret_key")
"""The names of the two secrets that sign requests for backups: the access key's id and the key itself."""

DAY = "{day}"
TableName = Annotated[
    str,
    form(
        r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?",
        "the name of a table, or SCHEMA.TABLE, of letters, digits and underscores that begins with no digit",
    ),
]


def _check_key(key: str) -> str:
    if key.count(DAY) != 1 or "{" in key.replace(DAY, ""):
        raise ValueError(f"{key!r} must name the day once, as {DAY}, and nothing else in braces")
    return key


def _check_day(day: str) -> str:
    if day:
        date.fromisoformat(day)
    return day


def _check_due(due: str) -> str:
    if not re.fullmatch(r"\d\d:\d\d", due):
        raise ValueError(f"{due!r} is not a time of day like 06:00")
    time.fromisoformat(due)
    return due


class Backups(Strict):
    """Daily backups: compressed plain SQL dumps in a bucket of an S3 API, the day in the name of each. All times are UTC.

    `due_by`: when the day's own backup must be there. `first_day`: there are none of earlier days, so none is missed. A backup of
    at most `whole_bytes` is always read whole; of a longer one that is not the newest only both ends are.
    """

    endpoint: str
    bucket: str
    region: str = "us-east-1"
    addressing: Literal["path", "host"] = "path"
    key: Annotated[str, AfterValidator(_check_key)] = "daily/backup-{day}.sql.gz"
    keep_days: Annotated[int, Field(ge=1, le=90)] = 30
    due_by: Annotated[str, AfterValidator(_check_due)] = "06:00"
    first_day: Annotated[str, AfterValidator(_check_day)] = ""
    least_bytes: Annotated[int, Field(ge=0)] = 1024
    whole_bytes: Annotated[int, Field(ge=0)] = 1_048_576
    begins: str = "PostgreSQL database dump"
    ends: str = "PostgreSQL database dump complete"

    def placeholders(self) -> frozenset[str]:
        """The names of all values that it uses, the two secrets included."""
        texts = (self.endpoint, self.bucket, self.region)
        used = frozenset(name for text in texts for name in names_in(text))
        return used | {f"secret.{name}" for name in BACKUP_SECRETS}


class Drill(Strict):
    """Where a backup is restored to see that it can be: a PostgreSQL server of its own, and what must be in there then.

    `server` is a `postgresql://` URL, as a rule a secret. `canary` is SQL that gives one instant: when the newest row was written
    that the platform writes only for this. `tables`: table -> the fewest rows it must have.
    """

    server: str
    canary: str
    tables: Mapping[TableName, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    program: str = "psql"

    def placeholders(self) -> frozenset[str]:
        """The names of all values that it uses."""
        return frozenset(names_in(self.server))


class Failover(Strict):
    """How the service address is watched: asked every `every_s` for `watch_s`; when it does not answer, until it does again.

    It counts as back with the first of `steady` good answers in a row, and as healed by itself within `within_s`. Each question
    has `ask_s`.
    """

    every_s: Seconds = 1.0
    watch_s: Annotated[float, Field(ge=0, le=300)] = 10.0
    within_s: Annotated[float, Field(gt=0, le=900)] = 120.0
    steady: Annotated[int, Field(ge=1, le=20)] = 3
    ask_s: Seconds = 5.0
