"""Where the parts of a fleet find each other: settings and command line in, addresses and paths out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from console.broker_command import addresses_of
from console.command_line import parse_arguments
from console.fleet_places import broker_address, database_login, database_of, outbox_path, sqlite_file
from probes.errors import OperatorError
from probes.messages import Address
from probes.settings import Settings, load_settings


def settings_of(**variables: str) -> Settings:
    """The defaults with variables laid over."""
    return load_settings(environ={"HOME": "/h", **{f"PROBE_FLEET_{name}": text for name, text in variables.items()}})


def test_the_embedded_broker_is_where_the_settings_have_it() -> None:
    """So that a worker that is started later finds it."""
    assert broker_address("", settings_of(BROKER_PORT="2345")).url == "mqtt://127.0.0.1:2345"
    with pytest.raises(OperatorError, match="free port"):
        broker_address("embedded", settings_of(BROKER_PORT="0"))


def test_what_was_typed_goes_before_the_settings() -> None:
    """For the broker and for the database."""
    settings = settings_of(BROKER_URL="mqtts://configured:8883", COLLECTOR_DATABASE="configured.db")
    assert broker_address("mqtt://typed:1883", settings).url == "mqtt://typed:1883"
    assert broker_address("", settings).url == "mqtts://configured:8883"
    assert (database_of("typed.db", settings), database_of("", settings)) == ("typed.db", "configured.db")
    with pytest.raises(OperatorError, match="not the address of a broker"):
        broker_address("http://typed", settings)


def test_the_password_of_the_broker_is_a_secret(tmp_path: Path) -> None:
    """It comes from a variable or a file, and a missing one is named."""
    file = tmp_path / "own.toml"
    file.write_text('[broker]\nurl = "mqtts://b:8883"\nusername = "eu/p"\n[secrets.broker]\nenv = "BROKER_PASSWORD"\n')
    address = broker_address("", load_settings(environ={"HOME": "/h", "BROKER_PASSWORD": "s3cret"}, path=file))
    assert (address.username, address.password.get_secret_value()) == ("eu/p", "s3cret")
    assert "s3cret" not in repr(address)
    with pytest.raises(OperatorError, match="BROKER_PASSWORD"):
        broker_address("", load_settings(environ={"HOME": "/h"}, path=file))


def test_no_two_probes_share_an_outbox(tmp_path: Path) -> None:
    """Names may hold dots and hyphens, and none of them makes one path out of two probes."""
    addresses = [
        Address(*names) for names in (("a", "b-c", "d"), ("a-b", "c", "d"), ("a", "b", "c-d"), ("a", "b.c", "d"))
    ]
    assert len({outbox_path(tmp_path, address) for address in addresses}) == len(addresses)


def test_a_database_is_a_file_or_not() -> None:
    """What has no file needs no folder."""
    assert sqlite_file("sqlite:////data/x.db") == Path("/data/x.db")
    assert sqlite_file("x.db") == Path("x.db")
    assert sqlite_file("postgresql://u@h/n") is None


def test_the_password_of_the_database_is_a_secret(tmp_path: Path) -> None:
    """Whatever is in it, it ends up in the password alone; a file and an address that has one already need none."""
    file = tmp_path / "own.toml"
    file.write_text('[secrets.database]\nenv = "DATABASE_PASSWORD"\n')
    settings = load_settings(environ={"HOME": "/h", "DATABASE_PASSWORD": "a@b/c?d"}, path=file)
    login = urlsplit(database_login("postgresql://u@db.example:5433/n?sslmode=require", settings))
    assert (login.username, unquote(login.password or ""), login.hostname) == ("u", "a@b/c?d", "db.example")
    assert (login.port, login.path, login.query) == (5433, "/n", "sslmode=require")
    for other in ("postgresql://u:p@h/n", "x.db", "sqlite:////x.db"):
        assert database_login(other, settings) == other
    assert database_login("postgresql://u@h/n", settings_of()) == "postgresql://u@h/n"
    with pytest.raises(OperatorError, match="names no user"):
        database_login("postgresql://h/n", settings)
    with pytest.raises(OperatorError, match="DATABASE_PASSWORD"):
        database_login("postgresql://u@h/n", load_settings(environ={"HOME": "/h"}, path=file))


def test_every_probe_of_the_settings_gets_a_name_at_the_broker() -> None:
    """Without a list it is this probe in every region; a region that nobody knows is a slip."""
    settings = settings_of(REGIONS="eu,us", PROBE="p1")
    assert addresses_of(settings) == (Address("local", "eu", "p1"), Address("local", "us", "p1"))
    named = replace(settings, broker=replace(settings.broker, probes=("us/a", "us/b", "us/a")))
    assert addresses_of(named) == (Address("local", "us", "a"), Address("local", "us", "b"))
    with pytest.raises(OperatorError, match="'mars'"):
        addresses_of(replace(settings, broker=replace(settings.broker, probes=("mars/a",))))


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("REGIONS", "eu west"),
        ("REGIONS", ""),
        ("BROKER_URL", "amqp://x"),
        ("COLLECTOR_HEALTH", "8790"),
        ("REGION", "a_b"),
    ],
)
def test_a_setting_that_could_not_work_is_refused_at_once(variable: str, text: str) -> None:
    """With the variable that it came from."""
    with pytest.raises(OperatorError) as caught:
        settings_of(**{variable: text})
    assert caught.value.where == f"PROBE_FLEET_{variable}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("list --region eu", "--region goes with --scenario, worker"),
        ("--scenario quote --broker mqtt://b", "--broker goes with --region"),
        ("--scenario quote --for 2m", "--for goes with fleet"),
        ("export", "needs one file"),
        ("import a b", "takes one file"),
        ("status now", "takes no further word"),
        ("status --scenario quote", "does not go with"),
        ("fleet --for soon", "soon"),
        ("collector --json out.json", "--json goes with --scenario, status"),
        ("worker --junit out.xml", "--junit goes with"),
        ("fleet --evidence always", "--evidence goes with"),
        ("fleet --evidence-dir x", "--evidence-dir goes with"),
        ("worker --repeat 3", "--repeat goes with --scenario"),
        ("collector --every 3s", "--every goes with"),
        ("worker --seed 0", "--seed goes with"),
        ("status --exit-with-parent", "--exit-with-parent goes with fleet"),
        ("--scenario quote --region a --target cnc-quote", "--target does not go with --region"),
        ("--scenario quote --region a --json -", "--json does not go with --region"),
        ("--scenario quote --region a --junit x", "--junit does not go with --region"),
        ("--scenario quote --region a --repeat 2", "--repeat does not go with --region"),
        ("--scenario quote --region a --every 2s", "--every does not go with --region"),
        ("--scenario quote --region a --evidence never", "--evidence does not go with --region"),
    ],
)
def test_words_and_options_of_the_fleet_that_could_only_be_a_slip_are_refused(words: str, message: str) -> None:
    """Nothing that was typed is ignored."""
    with pytest.raises(OperatorError, match=message):
        parse_arguments(words.split())
