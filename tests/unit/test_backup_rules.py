"""Which backups must be there, what a listing says of them, and whether a file is a whole dump: the rules, without a bucket."""

from __future__ import annotations

import gzip
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.target_behind import Backups
from scenarios.backup_dump import END_BYTES, DumpReader, problem_of_ends
from scenarios.backup_listing import days_due, missing_days, parse_listing

DESCRIBED = Backups(endpoint="{b}", bucket="b")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = NOON.date()
DUMP = b"--\n-- PostgreSQL database dump\n--\n" + b"INSERT 1;\n" * 500 + b"-- PostgreSQL database dump complete\n"
ENTRY = "<Contents><Key>{key}</Key><LastModified>{at}</LastModified><ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents>"


def listing(*entries: str, rest: str = "<IsTruncated>false</IsTruncated>") -> bytes:
    """A page as S3 answers it."""
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return (
        f'<?xml version="1.0"?><ListBucketResult xmlns="{space}">{rest}{"".join(entries)}</ListBucketResult>'.encode()
    )


def entry(key: str = "daily/backup-2026-03-01.sql.gz", at: str = "2026-03-01T00:00:07.000Z", size: str = "840") -> str:
    """One object of a page."""
    return ENTRY.format(key=key, at=at, size=size)


def days_ago(*ages: int) -> list[date]:
    """The days so long before today."""
    return [TODAY - timedelta(days=age) for age in ages]


def problem_with(content: bytes, *, piece_bytes: int = 1000) -> str:
    """What the reader says of a file that comes in pieces."""
    reader = DumpReader()
    for first in range(0, len(content), piece_bytes):
        reader.skim(content[first : first + piece_bytes])
    return reader.end(DESCRIBED)


def test_a_backup_is_known_by_the_day_in_its_name() -> None:
    """Day, size, time and ETag are there; what is called otherwise is counted and passed over."""
    page = parse_listing(listing(entry(), entry("daily/notes.txt"), entry("daily/backup-2026-13-01.sql.gz")), DESCRIBED)
    (backup,) = page.backups
    assert (backup.day, backup.size_bytes, backup.etag) == (date(2026, 3, 1), 840, '"e"')
    assert backup.written_at == datetime(2026, 3, 1, 0, 0, 7, tzinfo=UTC)
    assert backup.age_s(NOON) == 12 * 3600 - 7
    assert (page.others, page.next_token) == (2, "")


def test_a_page_that_is_not_the_last_has_a_token() -> None:
    """Only where the listing says that it was cut."""
    token = "<NextContinuationToken>t</NextContinuationToken>"
    assert parse_listing(listing(rest=f"<IsTruncated>true</IsTruncated>{token}"), DESCRIBED).next_token == "t"
    assert parse_listing(listing(rest=f"<IsTruncated>false</IsTruncated>{token}"), DESCRIBED).next_token == ""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not xml", "no XML"),
        (b"<html/>", "not a ListBucketResult"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document type"),
        (listing(entry(size="many")), "readable LastModified and Size"),
        (listing(entry(at="yesterday")), "readable LastModified and Size"),
        (listing(entry(at="2026-03-01T00:00:00")), "without a time zone"),
    ],
)
def test_a_listing_that_is_none_says_why(body: bytes, reason: str) -> None:
    """It is the target's answer, so the step fails with these words."""
    with pytest.raises(ValueError, match=reason):
        parse_listing(body, DESCRIBED)


def test_thirty_days_are_due_and_today_only_once_it_can_be() -> None:
    """Before 06:00 UTC today's backup may still be on its way; when it is there already it counts at once."""
    early = NOON.replace(hour=5, minute=59)
    assert days_due(DESCRIBED, NOON, []) == days_ago(*range(30))
    assert days_due(DESCRIBED, early.replace(hour=6, minute=0), []) == days_ago(*range(30))
    assert days_due(DESCRIBED, early, []) == days_ago(*range(1, 31))
    assert days_due(DESCRIBED, early, [TODAY]) == days_ago(*range(30))


def test_days_before_the_first_are_not_missed() -> None:
    """A platform that is ten days old has ten backups."""
    young = DESCRIBED.model_copy(update={"first_day": str(TODAY - timedelta(days=9))})
    assert days_due(young, NOON, []) == days_ago(*range(10))


def test_one_of_thirty_missing_is_found_and_a_thirty_first_is_not_asked_for() -> None:
    """The promise is thirty days: 29 of 30 break it, the 31st may be gone."""
    present = days_ago(*range(30))
    assert missing_days(days_due(DESCRIBED, NOON, present), present) == []
    present.remove(TODAY - timedelta(days=17))
    assert missing_days(days_due(DESCRIBED, NOON, present), present) == days_ago(17)


@given(st.integers(1, 5000), st.integers(1, 9))
def test_a_whole_dump_is_one_however_it_arrives(piece_bytes: int, level: int) -> None:
    """Pieces of any length, any compression; several members and zeros behind them too."""
    assert problem_with(gzip.compress(DUMP, level), piece_bytes=piece_bytes) == ""
    in_two = gzip.compress(DUMP[:700]) + gzip.compress(DUMP[700:]) + bytes(512)
    assert problem_with(in_two, piece_bytes=piece_bytes) == ""


@given(st.data())
def test_a_dump_that_was_cut_off_anywhere_is_none(data: st.DataObject) -> None:
    """Whichever byte was the last: a truncated gzip is never taken for whole."""
    content = gzip.compress(DUMP)
    kept = data.draw(st.integers(0, len(content) - 1))
    assert problem_with(content[:kept]) != ""


@given(st.data())
def test_a_changed_byte_is_noticed_or_harmless(data: st.DataObject) -> None:
    """The checksum guards the text; only the header's remarks (time, system) may change without a word."""
    content = bytearray(gzip.compress(DUMP, mtime=0))
    place = data.draw(st.integers(10, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    assert problem_with(bytes(content)) != ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(b"", mtime=0), "gzip of nothing"),
        (b"", "gzip of nothing"),
        (DUMP, "broken"),
        (gzip.compress(b"<html>not found</html>", mtime=0), "does not begin with"),
        (gzip.compress(DUMP[:-40], mtime=0), "does not end with"),
    ],
)
def test_what_is_no_dump_is_told_apart(content: bytes, reason: str) -> None:
    """The words say whether it is the compression, the content or its end."""
    assert reason in problem_with(content)


def test_text_comes_out_in_pieces_however_far_it_was_compressed() -> None:
    """A few kilobytes may hold megabytes: no piece is longer than one, and nothing is lost."""
    text = DUMP[:40] + bytes(9_000_000) + DUMP[-40:]
    reader = DumpReader()
    sizes = [len(piece) for piece in reader.feed(gzip.compress(text))]
    assert max(sizes) <= 1_048_576
    assert sum(sizes) == len(text) == reader.text_bytes
    assert reader.end(DESCRIBED) == ""


def test_both_ends_of_a_long_file_show_most_of_what_can_be_wrong() -> None:
    """Whole files pass; a cut one is caught by the length that it cannot have, and one that is no dump by its beginning."""
    drawn = random.Random(7)
    text = DUMP[:40] + drawn.randbytes(300_000).hex().encode() + DUMP[-40:]
    whole = gzip.compress(text)
    for content, good in ((whole, True), (whole[:200_000], False), (gzip.compress(text[40:]), False)):
        problem = problem_of_ends(content[:END_BYTES], content[-END_BYTES:], len(content), DESCRIBED)
        assert (problem == "") is good, problem
