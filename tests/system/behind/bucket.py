"""A bucket of backups as S3 lists it, and a dump to be in it.

Used by the tests of this folder.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["CANARY", "DAY", "DUMP", "listing_of", "today"]

DAY = timedelta(days=1)
DUMP = (
    "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.canary (written_at timestamptz);\n"
    "{middle}\n--\n-- PostgreSQL database dump complete\n--\n"
)
CANARY = "INSERT INTO public.canary VALUES (now() - interval '90 minutes');"


def listing_of(content: bytes, token: str) -> bytes:
    """Two days on two pages."""
    day = today(-1) if token else today(0)
    rest = "" if token else "<IsTruncated>true</IsTruncated><NextContinuationToken>n</NextContinuationToken>"
    return (
        f"<ListBucketResult>{rest}<Contents><Key>daily/backup-{day}.sql.gz</Key><LastModified>{day}T00:00:00Z</LastModified>"
        f"<ETag>&quot;e&quot;</ETag><Size>{len(content)}</Size></Contents></ListBucketResult>"
    ).encode()


def today(days: int) -> str:
    """The UTC day, or one so many days from it."""
    return str(datetime.now(UTC).date() + DAY * days)
