"""The systemd units: systemd understands them, and what they start, set, load and wait for exists in this program."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from probes.settings import Settings
from probes.systemd import LOOK_EVERY_S
from tests.deploy_kit import DEPLOY, broker_users, command_of, settings_with, worker_stop_limit_s

UNITS = DEPLOY / "systemd"
FLEET = UNITS / "fleet.toml.example"
WORKER = UNITS / "probe-fleet-worker@.service"
COLLECTOR = UNITS / "probe-fleet-collector.service"
BROKER = UNITS / "probe-fleet-broker.service"
OURS = {"worker": WORKER, "collector": COLLECTOR}
REGION = "eu-west"
PROGRAM = "/opt/probe-fleet/bin/probe-fleet"


def values(unit: Path, key: str) -> list[str]:
    """Every value of a key, for the instance of one region."""
    lines = re.findall(rf"(?m)^{key}=(.*)$", unit.read_text(encoding="utf-8"))
    return [line.replace("%i", REGION) for line in lines]


def value(unit: Path, key: str) -> str:
    """The one value of a key."""
    (only,) = values(unit, key)
    return only


def seconds(text: str) -> float:
    """A time span as these units write it."""
    return float(text.removesuffix("min")) * 60 if text.endswith("min") else float(text)


def environment(part: str) -> dict[str, str]:
    """What a unit sets itself, with its example of an environment file laid over."""
    lines = values(OURS[part], "Environment")
    example = (UNITS / f"{part}.env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in [*lines, *example] if line and not line.startswith("#"))


def settings_of(part: str) -> Settings:
    """The settings that a unit's process would have."""
    return settings_with(environment(part), FLEET)


def verified(folder: Path, *texts: tuple[str, str]) -> str:
    """What systemd has to say about units; the program is replaced by one that is there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    for name, text in texts:
        (folder / name).write_text(text.replace(PROGRAM, sys.executable), encoding="utf-8")
    files = [str(folder / name) for name, _ in texts]
    command = ["systemd-analyze", "verify", "--man=no", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr + ("" if done.returncode == 0 else f"exit code {done.returncode}")


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    """Every key is known to it in its section, and every value can be read."""
    if not shutil.which("mosquitto"):
        pytest.skip("mosquitto is not installed")
    units = [(WORKER.name.replace("@", f"@{REGION}"), WORKER), (COLLECTOR.name, COLLECTOR), (BROKER.name, BROKER)]
    assert verified(tmp_path, *((name, unit.read_text("utf-8")) for name, unit in units)) == ""


def test_a_slip_in_a_unit_would_be_noticed(tmp_path: Path) -> None:
    """The check above can fail."""
    text = COLLECTOR.read_text("utf-8").replace("WatchdogSec=", "WatchdogSecs=")
    assert "WatchdogSecs" in verified(tmp_path, ("slip.service", text))


@pytest.mark.parametrize("part", OURS)
def test_a_unit_starts_a_command_that_there_is(part: str) -> None:
    """With the name that the package installs, and options that the command takes."""
    program, *words = shlex.split(value(OURS[part], "ExecStart"))
    scripts = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert Path(program).name in scripts
    arguments = command_of(words)
    assert arguments.command == part
    assert arguments.region == (REGION if part == "worker" else "")


@pytest.mark.parametrize("part", OURS)
def test_what_a_unit_sets_is_a_setting_and_its_files_are_where_it_may_write(part: str) -> None:
    """A variable that there is not would be refused at the start; a folder outside would be read-only."""
    unit, settings = OURS[part], settings_of(part)
    state, cache = f"/var/lib/{value(unit, 'StateDirectory')}", f"/var/cache/probe-fleet/worker-{REGION}"
    assert str(settings.state_dir) == state
    assert settings.evidence_dir.is_relative_to(state)
    if part == "collector":
        assert Path(settings.collector.database).is_relative_to(state)
    else:
        assert value(unit, "CacheDirectory") == cache.removeprefix("/var/cache/")
        assert settings.parts_dir.is_relative_to(cache)
        assert environment(part)["HOME"] == cache


@pytest.mark.parametrize("part", OURS)
def test_secrets_of_the_settings_are_credentials_of_the_unit(part: str) -> None:
    """Also those that are commented out, and none is a variable. Only the broker's must be there."""
    text = re.sub(r"(?m)^# (?=\[secrets|credential)", "", FLEET.read_text("utf-8"))
    wanted = {"worker": {"broker", "fleet_key"}, "collector": {"broker", "database"}}[part]
    described = {name: source["credential"] for name, source in tomllib.loads(text)["secrets"].items()}
    loaded = {line.split(":")[0] for line in values(OURS[part], "LoadCredential")}
    optional = {line.split(":")[0] for line in values(OURS[part], "SetCredential")}
    assert {described[name] for name in wanted} <= loaded
    assert loaded - optional == {"broker"}
    assert not any("PASSWORD" in name or "SECRET" in name for name in environment(part))


def test_a_target_that_wants_a_password_finds_it_among_the_credentials() -> None:
    """The description names the credential that the worker's unit loads, and the variables that the example sets."""
    target = (DEPLOY.parent / "config" / "targets" / "cnc-quote.toml").read_text("utf-8")
    described = tomllib.loads(target)
    assert described["secrets"]["password"]["credential"] in [
        line.split(":")[0] for line in values(WORKER, "LoadCredential")
    ]
    asked = {
        entry["env"]
        for table in ("bases", "values")
        for entry in described[table].values()
        if isinstance(entry, dict) and "default" not in entry and not entry.get("optional")
    }
    assert asked <= set(environment("worker"))


@pytest.mark.parametrize("part", OURS)
def test_the_broker_knows_the_user_of_the_unit(part: str) -> None:
    """`broker-config` with the same settings makes an account for it."""
    settings = settings_of(part)
    assert settings.broker.username in broker_users(settings)
    assert environment(part)["PROBE_FLEET_BROKER_USERNAME"] == settings.broker.username
    if part == "worker":
        assert settings.broker.username == f"{REGION}/{settings.probe}"


def test_no_orderly_end_is_cut_off() -> None:
    """Systemd waits longer than the parts need at most, and signals nobody but the supervisor before."""
    assert seconds(value(WORKER, "TimeoutStopSec")) > worker_stop_limit_s(settings_of("worker"))
    assert seconds(value(COLLECTOR, "TimeoutStopSec")) > 15
    assert {value(unit, "KillMode") for unit in OURS.values()} == {"mixed"}


@pytest.mark.parametrize("unit", [*OURS.values(), BROKER], ids=lambda unit: unit.name)
def test_a_unit_is_started_again_for_ever_and_has_few_rights(unit: Path) -> None:
    """The rules that every service of the fleet lives under."""
    assert value(unit, "Restart") == "always"
    assert value(unit, "StartLimitIntervalSec") == "0"
    assert value(unit, "Type") == "notify"
    assert value(unit, "User") in ("probe-fleet", "mosquitto")
    assert value(unit, "CapabilityBoundingSet") == ""
    assert {value(unit, key) for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices")} == {"yes"}
    assert value(unit, "ProtectSystem") == "strict"
    assert value(unit, "MemoryMax")


@pytest.mark.parametrize("part", OURS)
def test_the_watchdog_leaves_room_for_a_busy_host(part: str) -> None:
    """It is fed in a third of the time; what is left is many rounds of the loop."""
    assert seconds(value(OURS[part], "WatchdogSec")) / 3 > 20 * LOOK_EVERY_S


def test_the_account_of_the_services_can_be_made(tmp_path: Path) -> None:
    """The file for systemd-sysusers makes the user that the units name."""
    if not shutil.which("systemd-sysusers"):
        pytest.skip("systemd is not installed")
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(UNITS / "probe-fleet.sysusers.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc/passwd").read_text().startswith(f"{value(WORKER, 'User')}:")
