"""What stands behind a platform, as descriptions say it: what is left out until it is configured, and what is refused."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.admission import refusal
from probes.dsn import parse_dsn
from probes.errors import BugError, DependencyError, OperatorError
from probes.registry import load_registry
from probes.s3_signer import S3Signer
from probes.targets import Target, load_target
from scenarios.restricted_sql import RestrictedSql
from scenarios.scratch_database import ScratchServer, connection_of, scratch_name
from tests.unit.test_targets import REAL_VARIABLES

BACKUPS = {
    "CNC_QUOTE_BACKUPS_URL": "https://s3.example.test",
    "CNC_QUOTE_BACKUPS_BUCKET": "dumps",
    "CNC_QUOTE_BACKUPS_KEY_ID": "id",
    "CNC_QUOTE_BACKUPS_SECRET_KEY": "key",
}
BASE = """
name = "mine"
[bases]
api = "http://127.0.0.1:1"
store = { env = "STORE", optional = true }
"""
SECRETS = """
[secrets.backups_key_id]
env = "ID"
[secrets.backups_secret_key]
env = "KEY"
"""


def real(**variables: str) -> Target:
    """The built-in description of the real platform with more variables set."""
    return load_target("cnc-quote", environ={**REAL_VARIABLES, **variables})


def reason(target: Target, name: str) -> str:
    """Why the scenario is left out; empty when it may run."""
    refused = refusal(load_registry("scenarios").get(name), target)
    return "" if refused is None else str(refused)


def loaded(folder: Path, text: str, **environ: str) -> Target:
    """A description of its own."""
    path = folder / "mine.toml"
    path.write_text(BASE + text, "utf-8")
    return load_target(path, environ=environ)


@pytest.mark.parametrize(
    ("scenario", "variable"),
    [
        ("backups", "CNC_QUOTE_BACKUPS_BUCKET, CNC_QUOTE_BACKUPS_URL"),
        ("restore-drill", "CNC_QUOTE_BACKUPS_BUCKET, CNC_QUOTE_BACKUPS_URL"),
        ("failover", "CNC_QUOTE_SERVICE_URL"),
        ("telemetry-canary", "allow"),
    ],
)
def test_the_real_platform_is_probed_without_what_nobody_has_configured(scenario: str, variable: str) -> None:
    """The scenario is left out with the variables to set, and the others run."""
    assert variable in reason(real(), scenario)
    assert reason(real(), "web-health") == ""


def test_what_is_configured_runs() -> None:
    """Backups need an endpoint, a bucket and a key; the drill a server, too."""
    target = real(**BACKUPS)
    assert reason(target, "backups") == ""
    assert "PROBE_DRILL_SERVER" in reason(target, "restore-drill")
    assert reason(real(**BACKUPS, PROBE_DRILL_SERVER="postgresql://drill@db/postgres"), "restore-drill") == ""
    assert "backups_key_id" in reason(real(**BACKUPS | {"CNC_QUOTE_BACKUPS_KEY_ID": ""}), "backups")
    assert reason(real(CNC_QUOTE_SERVICE_URL="https://api.example.test"), "failover") == ""


def test_an_optional_variable_leaves_out_what_uses_it_and_nothing_else(tmp_path: Path) -> None:
    """Set, it is a base like any other."""
    text = '[[operations.web_health.requests]]\nurl = "{store}/x"\n'
    without = loaded(tmp_path, text)
    assert not without.has("web_health")
    assert without.unset_variables("web_health") == ("STORE",)
    assert loaded(tmp_path, text, STORE="http://127.0.0.1:2").has("web_health")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[backups]\nendpoint = "{store}"\nbucket = "b"\n', "the secret backups_key_id is not described"),
        ('[backups]\nendpoint = "{shop}"\nbucket = "b"\n' + SECRETS, "unknown placeholder {shop}"),
        ('[backups]\nendpoint = "{store}"\nbucket = "b"\nkey = "daily.gz"\n' + SECRETS, "must name the day once"),
        ('[backups]\nendpoint = "{store}"\nbucket = "b"\ndue_by = "6am"\n' + SECRETS, "not a time of day"),
        ('[backups]\nendpoint = "{store}"\nbucket = "b"\nfirst_day = "1.3."\n' + SECRETS, "backups.first_day"),
        ('[drill]\nserver = "postgresql://x"\ncanary = "SELECT 1"\n', "[backups] is missing"),
        ('[drill]\nserver = "x"\ncanary = "x"\ntables = { "a; DROP TABLE b" = 1 }\n', "drill.tables"),
        ("[failover]\nevery_s = 2\n", "no operation service_health"),
        ('[values]\nerrors_dsn = { value = "x", optional = true }\n', "optional = true is for a variable"),
        ('[[operations.send_errors.requests]]\nurl = "{dsn_url}/x"\n', "unknown placeholder {dsn_url}"),
        ('[values]\nerrors_dsn = "https://host/1"\n', "no public key"),
    ],
)
def test_a_description_that_cannot_work_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """When it is read, not in the middle of a night."""
    with pytest.raises(OperatorError) as caught:
        loaded(tmp_path, text)
    assert words in str(caught.value)
    assert "mine.toml:" in str(caught.value)


def test_a_dsn_is_taken_apart() -> None:
    """Host with its port, a prefix if there is one, project and key."""
    dsn = parse_dsn("https://abc@errors.example.test:9000/prefix/42")
    assert (dsn.url, dsn.project, dsn.key) == ("https://errors.example.test:9000/prefix", "42", "abc")
    assert parse_dsn("http://k:old@h/1").url == "http://h"


@pytest.mark.parametrize("text", ["", "abc", "ftp://k@h/1", "https://h/1", "https://k@h/", "https://k@h"])
def test_what_is_no_dsn_is_refused_without_being_repeated(text: str) -> None:
    """Its key may be in it."""
    with pytest.raises(ValueError, match="it ") as caught:
        parse_dsn(text)
    assert not text or text not in str(caught.value)


def test_a_servers_password_goes_into_the_environment_and_not_on_the_command_line() -> None:
    """Everything that a URL says arrives at psql by its own variables."""
    found = connection_of("postgresql://drill:p%40ss@db.example.test:6543/scratch?sslmode=require")
    assert found["PGPASSWORD"] == "p@ss"
    assert (found["PGHOST"], found["PGPORT"], found["PGUSER"]) == ("db.example.test", "6543", "drill")
    assert (found["PGDATABASE"], found["PGSSLMODE"]) == ("scratch", "require")
    assert connection_of("postgresql:///?host=/run/pg")["PGHOST"] == "/run/pg"


@pytest.mark.parametrize("url", ["mysql://x", "db.example.test", "postgresql://x/?options=-csearch_path"])
def test_a_server_that_cannot_be_used_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(OperatorError, match="the drill's server"):
        connection_of(url)


@pytest.mark.parametrize("name", ["postgres", "probe_drill_", 'probe_drill_20260101000000_0000000g"', "cnc_quote", ""])
async def test_no_database_is_dropped_but_the_drills_own(name: str) -> None:
    """A bug that asks for another one is refused before psql is started."""
    server = ScratchServer("/nowhere/psql", {})
    with pytest.raises(BugError, match="none of the drill's own"):
        await server.drop(name)
    with pytest.raises(BugError):
        await server.create(name)


async def test_a_host_without_psql_is_told_what_to_install() -> None:
    """It is this host that lacks something, not the platform."""
    with pytest.raises(DependencyError, match="cannot be started") as caught:
        await ScratchServer("/nowhere/psql", {}).query("SELECT 1")
    assert "client programs" in caught.value.remedy


def test_without_botocore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who looks after backups needs it."""
    monkeypatch.setitem(sys.modules, "botocore.awsrequest", None)
    with pytest.raises(DependencyError, match="not installed") as caught:
        S3Signer("id", "key", "us-east-1")
    assert "probe-fleet[backups]" in caught.value.remedy


def test_a_scratch_database_is_named_after_its_time() -> None:
    """So that one that was left behind can be told from one in use."""
    from_clock = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert re.fullmatch(r"probe_drill_20260301120000_[0-9a-f]{8}", scratch_name(from_clock))
    assert scratch_name(from_clock) != scratch_name(from_clock)


@given(st.integers(1, 200), st.binary(max_size=300))
def test_a_dump_runs_between_our_words_and_without_its_own(piece_bytes: int, middle: bytes) -> None:
    """Whatever the pieces: the dump's own pair is gone, ours stands first, and not another byte is changed."""
    dump = b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc123\n" + bytes(0) + middle
    restricted = RestrictedSql("ourkey")
    out = restricted.feed(dump)
    rest = b"\nSELECT 1;\n\\unrestrict abc123\n\n"
    for first in range(0, len(rest), piece_bytes):
        out += restricted.feed(rest[first : first + piece_bytes])
    out += restricted.end()
    wanted = (dump + rest).replace(b"\\restrict abc123\n", b"", 1).replace(b"\\unrestrict abc123\n", b"")
    assert out == b"\\restrict ourkey\n" + wanted


def test_a_dump_without_a_pair_stays_as_it_is() -> None:
    """Dumps of older programs have none."""
    restricted = RestrictedSql("ourkey")
    assert restricted.feed(b"SELECT 1;\n") + restricted.feed(b"SELECT 2;\n") + restricted.end() == (
        b"\\restrict ourkey\nSELECT 1;\nSELECT 2;\n"
    )
