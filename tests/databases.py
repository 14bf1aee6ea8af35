"""The databases that a store's promises are held on: SQLite, and a real PostgreSQL for the tests of one file.

Fixtures, for the `conftest.py` of a folder to take in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres_kit import PostgresServer, find_programs, postgres_server

__all__ = ["postgres", "url"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """One server for the tests of a file."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres_server(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.make_database()
