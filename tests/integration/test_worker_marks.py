"""The notes a worker keeps in its outbox: they change with the entries they speak of, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.errors import DependencyError
from probes.outbox import EntryKind, Outbox


def test_a_mark_outlives_the_process_that_made_it(tmp_path: Path) -> None:
    """What was noted is there after a restart, by its prefix, until it is taken away."""
    path = tmp_path / "outbox.db"
    with Outbox(path) as outbox:
        outbox.put_all([(EntryKind.SCHEDULE, b"{}")], marks={"slots/http/a": b"1", "slots/browser/b": b"2"})
        outbox.put_all([], intents={"a": b"{}"}, owner="http", marks={"slots/http/a": b"3"})
        assert outbox.depth().intents == 1
    with Outbox(path) as outbox:
        assert outbox.marks("slots/http/") == {"slots/http/a": b"3"}
        outbox.put_all([], marks={"slots/http/a": None})
        assert outbox.marks("slots/") == {"slots/browser/b": b"2"}


def test_a_mark_is_not_changed_by_a_write_that_was_refused(tmp_path: Path) -> None:
    """Entries and marks are one transaction: a full disk leaves both as they were."""
    with Outbox(tmp_path / "outbox.db") as outbox:
        outbox.put_all([], marks={"slots/http/a": b"before"})
        outbox._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(DependencyError, match="full"):
            outbox.put_all([(EntryKind.SLOT, b"x" * 1_000_000)], marks={"slots/http/a": b"after"})
        assert outbox.marks("") == {"slots/http/a": b"before"}
        assert outbox.depth().entries == 0
