"""A database that exists for one restore drill: made, filled from a dump and dropped through `psql`, on the drill's own server.

Refuses to touch any database but those named `probe_drill_<when>_<what>`, which nobody else makes. What the server or psql lack
is a `DependencyError`, for it is ours; what is wrong with the dump is a finding. Called by `scenarios.restore_drill`.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

from probes.errors import BugError, DependencyError, OperatorError
from scenarios.restricted_sql import RestrictedSql

__all__ = ["PREFIX", "ScratchServer", "connection_of", "scratch_name"]

PREFIX = "probe_drill_"
NAME = re.compile(PREFIX + r"(\d{14})_[0-9a-f]{8}")
LEFT_BEHIND_AFTER = timedelta(days=1)
SHOWN_CHARACTERS = 400
KILL_DEADLINE_S = 5.0
MOST_ERRORS_BYTES = 65_536
SQL_ERROR = 3
"""psql's exit code for an error in what it was fed. Source: psql(1), "Exit Status"."""

STATE = re.compile(r":  ([0-9A-Z]{5}): ")
"""An SQLSTATE as psql shows it with every message when it is verbose; the word before it is in the server's own language."""

NO_ERROR = ("00", "01", "02")
OURS = ("08", "28", "53", "57", "58", "XX", "42501")
"""SQLSTATEs that blame the server or our account on it. Source: PostgreSQL, Appendix A (00 to 02 success, warning and no data,
08 connection, 28 authorization, 53 resources, 57 operator intervention, 58 system error, XX internal, 42501 privilege)."""

LACKING = ("0A000", "42704")
"""SQLSTATEs of what a dump asks for and the server has not got: an extension, a role, a tablespace, a setting of a newer version.
A dump of one database defines all else that it names."""

MISWRITTEN = ("42601",)
"""The SQLSTATE of a syntax error: in a statement of ours, never of the dump."""

PARAMETERS = {
    "host": "PGHOST",
    "port": "PGPORT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}


def connection_of(url: str) -> dict[str, str]:
    """The `postgresql://` URL as psql's environment: no password stands on a command line. OperatorError if it is none."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise OperatorError("the drill's server is not a postgresql:// URL", where="drill.server")
    found = {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")) or "postgres",
        "PGCONNECT_TIMEOUT": "10",
    }
    for name, value in parse_qsl(parts.query):
        if name not in PARAMETERS:
            raise OperatorError(
                f"the drill's server has an unknown parameter {name!r}",
                where="drill.server",
                remedy=f"Known are {', '.join(PARAMETERS)}",
            )
        found[PARAMETERS[name]] = value
    return {name: value for name, value in found.items() if value}


def scratch_name(now: datetime) -> str:
    """A name that nobody else has."""
    return f"{PREFIX}{now.astimezone(UTC):%Y%m%d%H%M%S}_{secrets.token_hex(4)}"


class ScratchServer:
    """The server for drills. `program` is psql; `connection` its environment from `connection_of`."""

    def __init__(self, program: str, connection: Mapping[str, str]) -> None:
        self._program = program
        path = {"PATH": os.environ.get("PATH", os.defpath)}
        # Times are read back in one form, whatever the server is set to.
        self._environ = {**path, "LC_ALL": "C", "PGTZ": "UTC", "PGDATESTYLE": "ISO", **connection}

    async def create(self, name: str) -> None:
        """Make the empty database; DependencyError when the server does not let us."""
        await self.query(f'CREATE DATABASE "{_checked(name)}" TEMPLATE template0')

    async def drop(self, name: str) -> None:
        """Drop the database, whoever is connected to it; nothing happens when it is gone."""
        await self.query(f'DROP DATABASE IF EXISTS "{_checked(name)}" WITH (FORCE)')

    async def drop_left_behind(self, now: datetime) -> None:
        """Drop what drills of earlier days left that were killed before they could clean up."""
        for name in (await self.query("SELECT datname FROM pg_database")).split():
            match = NAME.fullmatch(name)
            if match and now - datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) > LEFT_BEHIND_AFTER:
                await self.drop(name)

    async def query(self, sql: str, *, database: str = "") -> str:
        """What one statement of ours answers; DependencyError when it fails, with the server's words."""
        code, answer, errors = await self._run(["-c", sql], database)
        if code != 0:
            raise self._dependency(errors)
        return answer.strip()

    async def ask(self, sql: str, database: str) -> tuple[str, str]:
        """What a statement about the dump's content answers, and what is wrong with it; DependencyError when the server is."""
        code, answer, errors = await self._run(["-c", sql], _checked(database))
        return answer.strip(), self._finding(code, errors, MISWRITTEN)

    async def restore(self, database: str, texts: AsyncIterator[bytes]) -> str:
        """Execute a dump in the database, all or nothing; what is wrong with the dump, or an empty text.

        In one transaction statements about other databases are refused, and in psql's restricted mode backslash commands are.
        """
        arguments = ["--single-transaction", "-f", "-"]
        code, _, errors = await self._run(arguments, _checked(database), RestrictedSql(secrets.token_hex(16)), texts)
        return self._finding(code, errors, LACKING)

    def _finding(self, code: int, errors: str, also_ours: tuple[str, ...]) -> str:
        if code == 0:
            return ""
        states = [state for state in STATE.findall(errors) if not state.startswith(NO_ERROR)]
        if code != SQL_ERROR and not states:
            raise self._dependency(errors)
        if any(state.startswith((*OURS, *also_ours)) for state in states) or "invalid command \\restrict" in errors:
            raise self._dependency(errors)
        return _shown(errors)

    def _dependency(self, errors: str) -> DependencyError:
        remedy = (
            "Look at [drill]: its server's account needs CREATEDB, the server all roles and extensions that the dump names,"
            " and at least the version that made the dump"
        )
        if "invalid command \\restrict" in errors:
            remedy = "Update psql: it needs \\restrict (18, 17.6, 16.10, 15.14, 14.19, 13.22 or later)"
        return DependencyError(
            f"the server for restore drills failed: {_shown(errors)}", where=self._program, remedy=remedy
        )

    async def _run(
        self,
        arguments: list[str],
        database: str,
        restricted: RestrictedSql | None = None,
        texts: AsyncIterator[bytes] | None = None,
    ) -> tuple[int, str, str]:
        """Run psql to its end; it never outlives this call."""
        command = [self._program, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-w"]
        environ = {**self._environ, "PGDATABASE": database} if database else self._environ
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                *arguments,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL if texts is None else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise DependencyError(
                f"{self._program} cannot be started: {error.strerror}", remedy="Install PostgreSQL's client programs"
            ) from error
        try:
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(_bounded(process.stdout))
                errors = group.create_task(_bounded(process.stderr))
                if texts is not None and restricted is not None:
                    await _feed(process.stdin, restricted, texts)
                code = await process.wait()
            return code, answer.result(), errors.result()
        finally:
            await _end(process)


async def _feed(stdin: asyncio.StreamWriter | None, restricted: RestrictedSql, texts: AsyncIterator[bytes]) -> None:
    """All of the text, as fast as psql takes it; psql that stops early says why by itself."""
    assert stdin is not None  # noqa: S101 - asked for where the process is started
    with suppress(BrokenPipeError, ConnectionResetError):
        async for text in texts:
            stdin.write(restricted.feed(text))
            await stdin.drain()
        stdin.write(restricted.end())
        await stdin.drain()
    stdin.close()
    with suppress(BrokenPipeError, ConnectionResetError):
        await stdin.wait_closed()


async def _bounded(stream: asyncio.StreamReader | None) -> str:
    """The beginning of what a stream holds; the rest is read too, so that the writer never waits."""
    assert stream is not None  # noqa: S101 - asked for where the process is started
    kept = b""
    while piece := await stream.read(MOST_ERRORS_BYTES):
        kept += piece[: MOST_ERRORS_BYTES - len(kept)]
    return kept.decode("utf-8", "replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """However we leave: the process is gone."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.kill()
    async with asyncio.timeout(KILL_DEADLINE_S):
        await process.wait()


def _checked(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise BugError(f"the database {name!r} is none of the drill's own", remedy=f"Names begin with {PREFIX}")
    return name


def _shown(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line and not line.startswith("LOCATION:")]
    return " / ".join(lines)[:SHOWN_CHARACTERS] or "no reason given"
