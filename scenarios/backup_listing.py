"""What a listing of a bucket says about daily backups: which there are, which must be there, which are missing. Pure.

Called by `scenarios.backup_store` and `scenarios.backups`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from xml.etree import ElementTree as ET

from probes.target_behind import DAY, Backups

__all__ = ["Listing", "StoredBackup", "days_due", "missing_days", "parse_listing"]


@dataclass(frozen=True, slots=True)
class StoredBackup:
    """One backup as the bucket lists it. `written_at` is the store's own word for when it was written."""

    day: date
    key: str
    size_bytes: int
    written_at: datetime
    etag: str

    def age_s(self, now: datetime) -> float:
        """Seconds since it was written."""
        return (now - self.written_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Listing:
    """One page: its backups, how many objects were something else, and the token of the next page, if there is one."""

    backups: tuple[StoredBackup, ...]
    others: int
    next_token: str


def parse_listing(body: bytes, described: Backups) -> Listing:
    """The page of a `ListObjectsV2` answer; ValueError that says what is wrong with it."""
    try:
        # No document type, so no entities: their expansion is the only way in which a small document hurts.
        if b"<!DOCTYPE" in body:
            raise ValueError("the listing has a document type, as no S3 API sends")
        root = ET.fromstring(body)  # noqa: S314 - see above; the size is bounded by the client
    except ET.ParseError as error:
        raise ValueError(f"the listing is no XML: {error}") from error
    if _local(root.tag) != "ListBucketResult":
        raise ValueError(f"the listing is a {_local(root.tag)}, not a ListBucketResult")
    pattern = re.compile(re.escape(described.key).replace(re.escape(DAY), r"(\d{4}-\d{2}-\d{2})"))
    found: list[StoredBackup] = []
    others = 0
    for entry in root:
        if _local(entry.tag) == "Contents":
            fields = {_local(field.tag): field.text or "" for field in entry}
            backup = _backup(fields, pattern)
            others += backup is None
            found += [backup] if backup is not None else []
    fields = {_local(field.tag): field.text or "" for field in root}
    is_truncated = fields.get("IsTruncated", "false").strip() == "true"
    return Listing(tuple(found), others, fields.get("NextContinuationToken", "") if is_truncated else "")


def days_due(described: Backups, now: datetime, present: Iterable[date]) -> list[date]:
    """The days whose backups must be there now, newest first.

    The last `keep_days` up to today; today only once its backup is there or `due_by` has passed.
    """
    today = now.astimezone(UTC).date()
    due_at = datetime.combine(today, time_of_day.fromisoformat(described.due_by), UTC)
    newest = today if now >= due_at or today in set(present) else today - timedelta(days=1)
    first = date.fromisoformat(described.first_day) if described.first_day else date.min
    days = [newest - timedelta(days=ago) for ago in range(described.keep_days)]
    return [day for day in days if day >= first]


def missing_days(due: Iterable[date], present: Iterable[date]) -> list[date]:
    """The days that are due and not there."""
    there = set(present)
    return [day for day in due if day not in there]


def _backup(fields: dict[str, str], pattern: re.Pattern[str]) -> StoredBackup | None:
    """The object as a backup; None for one that is called otherwise."""
    match = pattern.fullmatch(fields.get("Key", ""))
    if match is None:
        return None
    try:
        day = date.fromisoformat(match[1])
    except ValueError:
        return None
    try:
        written_at = datetime.fromisoformat(fields["LastModified"])
        size_bytes = int(fields["Size"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"the entry of {fields['Key']} has no readable LastModified and Size") from error
    if written_at.tzinfo is None:
        raise ValueError(f"the entry of {fields['Key']} has a LastModified without a time zone")
    return StoredBackup(day, fields["Key"], size_bytes, written_at.astimezone(UTC), fields.get("ETag", ""))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
