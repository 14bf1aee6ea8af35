"""The generated mosquitto configuration lets each probe be itself and nobody else. Debian's mosquitto, TLS, real rules."""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.mosquitto import (
    MosquittoPlan,
    client_name,
    hashed_password,
    probe_username,
    render_mosquitto_config,
    write_mosquitto_config,
)
from probes.errors import DependencyError, OperatorError
from probes.messages import Address
from probes.mqtt import BrokerAddress, BrokerUnavailableError, LastWill, open_client, payload_of, subscribe
from tests.broker_kit import DEADLINE_S, FLEET, PROBES, Mosquitto, make_mosquitto, running, without_user

MINE, MY_NEIGHBOUR, FAR = PROBES
ROOT = f"fleet/v1/{FLEET}"
PLAN = MosquittoPlan(probes=PROBES, certificate_file=Path("/c.pem"), key_file=Path("/k.pem"))


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running one."""
    with running(make_mosquitto(tmp_path)) as broker:
        assert isinstance(broker, Mosquitto)
        yield broker


async def may_write(address: BrokerAddress, topic: str) -> bool:
    """True when the broker takes a message there."""
    try:
        async with open_client(address, client_id="writer") as client, asyncio.timeout(DEADLINE_S):
            await client.publish_soon(topic, b"x")
    except BrokerUnavailableError as error:
        if "Not authorized" not in str(error):
            raise
        return False
    return True


async def heard_of(listener: BrokerAddress, everyone: BrokerAddress, topics: list[str], end: str) -> list[str]:
    """Of the topics, those that a listener to everything hears; `everyone` may write all, `end` is heard for certain."""
    async with open_client(listener, client_id="listener") as there, open_client(everyone, client_id="speaker") as here:
        for topic_filter in ("#", f"{ROOT}/#", *topics, end):
            await subscribe(there, listener, topic_filter)
        for topic in (*topics, end):
            await here.publish_soon(topic, b"x")
        heard: set[str] = set()
        async with asyncio.timeout(DEADLINE_S):
            while end not in heard:
                heard.add((await anext(there.messages)).topic.value)
    return sorted(heard - {end})


@pytest.mark.parametrize("channel", ["results", "status", "live", "time"])
async def test_a_probe_writes_its_own_topics_and_nobody_elses(mosquitto: Mosquitto, channel: str) -> None:
    """Another probe's results are refused with a reason code, in its region as in others."""
    me = mosquitto.as_probe(MINE)
    assert await may_write(me, f"{ROOT}/{channel}/eu-west/probe-1")
    for topic in (
        f"{ROOT}/{channel}/eu-west/probe-2",
        f"{ROOT}/{channel}/us-east/probe-1",
        f"{ROOT}/{channel}/eu-west/probe-1/more",
        f"fleet/v1/other/{channel}/eu-west/probe-1",
    ):
        assert not await may_write(me, topic), topic


async def test_a_probe_cannot_speak_as_collector_or_operator(mosquitto: Mosquitto) -> None:
    """No acknowledgement, no hello, no clock, no command comes from a probe, not even for itself."""
    me = mosquitto.as_probe(MINE)
    for topic in ("acks/eu-west/probe-1", "acks/eu-west/probe-2", "clock/eu-west/probe-1", "hello", "commands/eu-west"):
        assert not await may_write(me, f"{ROOT}/{topic}"), topic


async def test_collectors_and_operators_have_their_own_words(mosquitto: Mosquitto) -> None:
    """A collector acknowledges, and may ask probes to look at once; an operator commands and cannot acknowledge."""
    collector, operator = mosquitto.as_collector("one"), mosquitto.as_user(client_name("operator", "operator"))
    assert await may_write(collector, f"{ROOT}/commands/eu-west")
    for topic in ("acks/eu-west/probe-1", "clock/us-east/probe-3", "hello"):
        assert await may_write(collector, f"{ROOT}/{topic}"), topic
        assert not await may_write(operator, f"{ROOT}/{topic}"), topic
    assert await may_write(operator, f"{ROOT}/commands/eu-west")
    for topic in ("results/eu-west/probe-1", "status/eu-west/probe-1"):
        assert not await may_write(collector, f"{ROOT}/{topic}"), topic


async def test_a_probe_hears_only_what_is_meant_for_it(mosquitto: Mosquitto) -> None:
    """Acknowledgements and clock of its own, commands of its region, the hello; a filter over everything changes nothing."""
    with (mosquitto.folder / "acl").open("a") as rules:
        rules.write(f"\nuser collector/two\ntopic write {ROOT}/#\n")
    await reload(mosquitto)
    await until_async(lambda: may_write(mosquitto.as_collector("two"), f"{ROOT}/results/eu-west/probe-1"))
    foreign = ["acks/eu-west/probe-2", "acks/us-east/probe-3", "clock/eu-west/probe-2", "commands/us-east"]
    foreign += ["results/eu-west/probe-1", "results/eu-west/probe-2", "status/us-east/probe-3", "live/eu-west/probe-2"]
    own = ["acks/eu-west/probe-1", "clock/eu-west/probe-1", "commands/eu-west"]
    topics = [f"{ROOT}/{topic}" for topic in (*own, *foreign)]
    heard = await heard_of(mosquitto.as_probe(MINE), mosquitto.as_collector("two"), topics, f"{ROOT}/hello")
    assert heard == sorted(f"{ROOT}/{topic}" for topic in own)


async def reload(mosquitto: Mosquitto) -> None:
    """Have it read its rules and passwords again; after a login, because it listens before it knows the signal."""
    assert await logs_in(mosquitto.as_collector("one"))
    assert mosquitto.process
    mosquitto.process.send_signal(signal.SIGHUP)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    """Until it is true, within the deadline; each look is a connection of its own."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110 - what it waits for happens in another process
            await asyncio.sleep(0.05)


async def test_someone_elses_identity_is_refused(mosquitto: Mosquitto) -> None:
    """Another probe's name with my password and no name at all do not even log in."""
    stolen = replace(mosquitto.as_probe(MY_NEIGHBOUR), password=mosquitto.as_probe(MINE).password)
    with pytest.raises(BrokerUnavailableError, match="refuses eu-west/probe-2"):
        async with open_client(stolen, client_id="p"):
            pass
    with pytest.raises(BrokerUnavailableError, match="without a user name"):
        async with open_client(without_user(mosquitto.as_probe(MINE)), client_id="p"):
            pass


async def test_a_last_will_in_anothers_name_is_not_said(mosquitto: Mosquitto) -> None:
    """A probe cannot have its neighbour shown as gone by vanishing."""
    collector = mosquitto.as_collector("one")
    async with open_client(collector, client_id="c") as there:
        await subscribe(there, collector, f"{ROOT}/status/+/+")
        for victim in (MY_NEIGHBOUR, MINE):
            with pytest.raises(BrokerUnavailableError):
                await vanish(mosquitto.as_probe(MINE), LastWill(victim.topic("status"), b"gone"))
        async with asyncio.timeout(DEADLINE_S):
            assert (await anext(there.messages)).topic.value == MINE.topic("status")


async def vanish(address: BrokerAddress, will: LastWill) -> None:
    """Connect, and lose the connection without a word."""
    async with open_client(address, client_id="p", last_will=will) as client:
        client._our_socket.shutdown(socket.SHUT_RDWR)
        await anext(client.messages)


async def test_a_client_id_of_another_cuts_nobody_off(mosquitto: Mosquitto) -> None:
    """The broker goes by user names: who connects under another's id disturbs nobody."""
    async with open_client(mosquitto.as_probe(MINE), client_id="mine") as client:
        async with open_client(mosquitto.as_probe(MY_NEIGHBOUR), client_id="mine"), asyncio.timeout(DEADLINE_S):
            await client.publish_soon(MINE.topic("results"), b"still here")
        async with asyncio.timeout(DEADLINE_S):
            await client.publish_soon(MINE.topic("results"), b"still here")


async def test_a_new_probe_comes_in_and_a_removed_one_stays_out_after_a_reload(mosquitto: Mosquitto) -> None:
    """Write the configuration again, SIGHUP, and nobody else notices: passwords that exist are kept."""
    new = Address(FLEET, "ap-south", "probe-9")
    async with open_client(mosquitto.as_probe(MINE), client_id="stays") as client:
        plan = replace(mosquitto.plan, probes=(MINE, MY_NEIGHBOUR, new))
        written = write_mosquitto_config(plan, mosquitto.folder)
        await reload(mosquitto)
        removed = mosquitto.as_probe(FAR)
        mosquitto.passwords |= {
            probe_username(new): type(removed.password)(written.credential_files[probe_username(new)].read_text())
        }
        await until_async(lambda: logs_in(mosquitto.as_probe(new)))
        assert await may_write(mosquitto.as_probe(new), new.topic("results"))
        assert not await logs_in(removed)
        async with asyncio.timeout(DEADLINE_S):
            await client.publish_soon(MINE.topic("results"), b"still here")


async def logs_in(address: BrokerAddress) -> bool:
    """True when the broker lets us in."""
    try:
        async with open_client(address, client_id="knock"):
            return True
    except BrokerUnavailableError:
        return False


async def test_a_retained_status_is_what_a_collector_finds(mosquitto: Mosquitto) -> None:
    """The rules let the broker keep what a probe said of itself."""
    probe, collector = mosquitto.as_probe(MINE), mosquitto.as_collector("one")
    async with open_client(probe, client_id="p") as client:
        await client.publish_soon(MINE.topic("status"), b"here", retain=True)
    async with open_client(collector, client_id="c") as client, asyncio.timeout(DEADLINE_S):
        await subscribe(client, collector, f"{ROOT}/status/+/+")
        assert payload_of(await anext(client.messages)) == b"here"


def test_everything_written_is_for_the_owner_alone(tmp_path: Path) -> None:
    """Files 0600, folders of passwords 0700, and no password in any file but its own."""
    written = write_mosquitto_config(PLAN, tmp_path / "new")
    files = [file for file in (tmp_path / "new").rglob("*") if file.is_file()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "new" / "credentials" / "eu-west").stat().st_mode) == 0o700
    for user, file in written.credential_files.items():
        password = file.read_text()
        assert len(password) >= 43, user
        assert [other for other in files if password in other.read_text()] == [file]


def test_written_again_it_keeps_the_passwords(tmp_path: Path) -> None:
    """And gives a new user a new one."""
    first = write_mosquitto_config(PLAN, tmp_path)
    before = {user: file.read_text() for user, file in first.credential_files.items()}
    second = write_mosquitto_config(replace(PLAN, collectors=("collector", "more")), tmp_path)
    after = {user: file.read_text() for user, file in second.credential_files.items()}
    assert after | before == after
    assert len(set(after.values())) == len(before) + 1


def test_the_hash_is_the_one_that_mosquitto_passwd_makes(tmp_path: Path) -> None:
    """The same password and salt: the same line as from mosquitto's own tool."""
    if not shutil.which("mosquitto_passwd"):
        pytest.skip("mosquitto_passwd is not installed")
    file = tmp_path / "passwords"
    file.write_text("eu-west/probe-1:correct horse\n")
    file.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True, capture_output=True)
    user, _, theirs = file.read_text().strip().partition(":")
    salt = base64.b64decode(theirs.split("$")[3])
    assert user == "eu-west/probe-1"
    assert hashed_password("correct horse", salt) == theirs


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (replace(PLAN, probes=()), "one fleet"),
        (replace(PLAN, probes=(MINE, Address("other", "eu-west", "p"))), "one fleet"),
        (replace(PLAN, probes=(Address(FLEET, "collector", "one"),)), "cannot be called 'collector'"),
        (replace(PLAN, probes=(MINE, MINE)), "same name"),
        (replace(PLAN, collectors=("a b",)), "is not a name"),
        (replace(PLAN, operators=("x\nuser eu-west/probe-1",)), "is not a name"),
        (replace(PLAN, certificate_file=Path("/a\nallow_anonymous true")), "line break"),
        (replace(PLAN, bind="127.0.0.1\nlistener 1883"), "line break"),
    ],
)
def test_a_plan_that_could_mean_something_else_is_refused(plan: MosquittoPlan, problem: str, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(OperatorError, match=problem):
        write_mosquitto_config(plan, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """With its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DependencyError, match="file/folder"):
        write_mosquitto_config(PLAN, tmp_path / "file" / "folder")


@settings(max_examples=50)
@given(st.lists(st.from_regex(r"\A[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?\Z"), min_size=2, max_size=6, unique=True))
def test_no_two_probes_share_a_name_or_a_rule(names: list[str]) -> None:
    """Whatever the dots and hyphens in the names of regions and probes: each user may write exactly its own four topics."""
    probes = tuple(Address(FLEET, f"r-{region}", name) for region in names for name in names)
    plan = replace(PLAN, probes=probes)
    passwords = dict.fromkeys((*map(probe_username, probes), "collector/collector", "operator/operator"), "x")
    rules = render_mosquitto_config(plan, passwords, Path("/etc/fleet"))["acl"]
    blocks = dict(block.split("\n", 1) for block in rules.removeprefix("user ").split("\nuser "))
    assert len(blocks) == len(probes) + 2
    for probe in probes:
        written = [line.split()[2] for line in blocks[probe_username(probe)].splitlines() if " write " in line]
        assert written == [
            f"{ROOT}/{channel}/{probe.region}/{probe.probe}" for channel in ("results", "status", "live", "time")
        ]
