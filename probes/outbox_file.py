"""Blocks of statements on the file of an outbox: errors in our words, and all or nothing.

Classes, because generators take longer than the statements between them. Refuses to know tables. Called by `probes.outbox`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from probes.errors import DependencyError

__all__ = ["Transaction", "Translated"]


class Translated:
    """A block in which what SQLite and the disk raise becomes a DependencyError."""

    __slots__ = ("_where",)

    def __init__(self, where: Path) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error | OSError):
            message = f"the outbox cannot be used: {error}"
            remedy = "Check the disk's free space, the folder's permissions, and that no other program holds the file"
            raise DependencyError(message, where=str(self._where), remedy=remedy) from error


class Transaction:
    """A block that is committed as a whole or undone as a whole; not to be nested. It begins by removing what is forgotten."""

    __slots__ = ("_db", "_forgotten", "_remove", "_translated")

    def __init__(
        self,
        db: sqlite3.Connection,
        translated: Translated,
        forgotten: list[tuple[int, int]],
        remove: Callable[[list[tuple[int, int]]], int],
    ) -> None:
        self._db = db
        self._translated = translated
        self._forgotten = forgotten
        self._remove = remove

    def __enter__(self) -> None:
        with self._translated:
            self._db.execute("BEGIN IMMEDIATE")
            if self._forgotten:
                try:
                    self._remove(self._forgotten)
                except BaseException:
                    self._undo()
                    raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._undo()
            self._translated.__exit__(kind, error, trace)
            return
        try:
            with self._translated:
                self._db.execute("COMMIT")
        except BaseException:
            self._undo()
            raise
        self._forgotten.clear()

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
