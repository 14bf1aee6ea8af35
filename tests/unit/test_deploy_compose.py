"""The compose files: they keep to the specification, and what they start, set and mount exists in this program."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from collector.mosquitto import MosquittoPlan, write_mosquitto_config
from console.broker_command import addresses_of
from probes.health import Health, open_health
from probes.settings import Settings
from tests.deploy_kit import DEPLOY, broker_users, command_of, documents_in, settings_with, worker_stop_limit_s

COMPOSE = DEPLOY / "compose"
FLEET = COMPOSE / "fleet.toml"
FILES = ("compose.yaml", "compose.try.yaml")
(MAIN,) = documents_in(COMPOSE / "compose.yaml")
(TRY,) = documents_in(COMPOSE / "compose.try.yaml")
SERVICES: Final[dict[str, dict[str, Any]]] = MAIN["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == MAIN["name"]}
PARTS = {name: service for name, service in OURS.items() if name != "broker-config"}
WORKERS = {name: service for name, service in PARTS.items() if name.startswith("worker")}
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def variables(name: str, *overlays: dict[str, Any]) -> dict[str, str]:
    """A part's variables, with what compose fills in left empty but for the defaults."""
    merged = dict(SERVICES[name]["environment"])
    for overlay in overlays:
        merged |= overlay["services"].get(name, {}).get("environment", {})
    return {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text) for key, text in merged.items()}


def settings_of(name: str, *overlays: dict[str, Any]) -> Settings:
    """The settings that a part would have."""
    return settings_with(variables(name, *overlays), FLEET)


def secret_files(service: dict[str, Any]) -> dict[str, str]:
    """Where a service finds which secret of the file."""
    mounted = [
        secret if isinstance(secret, dict) else {"source": secret, "target": secret} for secret in service["secrets"]
    ]
    return {f"/run/secrets/{secret['target']}": secret["source"] for secret in mounted}


@pytest.mark.parametrize("name", FILES)
def test_a_compose_file_keeps_to_the_specification(name: str) -> None:
    """Held by the schema of the Compose specification."""
    schema = json.loads((resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    checker = jsonschema.validators.validator_for(schema)(schema)
    (document,) = documents_in(COMPOSE / name)
    assert [error.message for error in checker.iter_errors(document)] == []
    document["services"]["collector-1"] = {"imagine": "probe-fleet"}
    assert [error.message for error in checker.iter_errors(document)] != []


@pytest.mark.parametrize("name", OURS)
def test_a_part_runs_a_command_that_there_is_with_settings_that_there_are(name: str) -> None:
    """A slip in an option or a variable would only be found by a container that does not come up."""
    command_of(OURS[name]["command"])
    settings = settings_of(name)
    assert settings.sources[1] == str(FLEET)
    assert variables(name)["PROBE_FLEET_SETTINGS"] in [config["target"] for config in OURS[name]["configs"]]
    assert str(settings.broker.ca_file) in [config["target"] for config in OURS[name]["configs"]]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_has_the_secrets_that_its_settings_name(name: str) -> None:
    """Files below /run/secrets; the broker's password is that of the user as whom the part connects."""
    settings, mounted = settings_of(name), secret_files(PARTS[name])
    wanted = ["broker", "fleet_key" if name in WORKERS else "database"]
    if name in WORKERS:
        assert f"{variables(name)['CREDENTIALS_DIRECTORY']}/target_password" in mounted
    assert {settings.secret_sources[secret].file for secret in wanted} <= set(mounted)
    password = MAIN["secrets"][mounted[settings.secret_sources["broker"].file]]["file"]
    assert password == f"broker/credentials/{settings.broker.username}"
    assert settings.broker.username in broker_users(settings)
    assert not any("PASSWORD" in variable or "SECRET" in variable for variable in variables(name))


def test_the_broker_s_files_are_those_that_broker_config_makes(tmp_path: Path) -> None:
    """Each password that a part mounts, and the configuration that the broker starts with."""
    settings = settings_of("broker-config")
    arguments = command_of(OURS["broker-config"]["command"])
    assert arguments.certificate_file is not None
    assert arguments.key_file is not None
    plan = MosquittoPlan(
        probes=addresses_of(settings),
        certificate_file=arguments.certificate_file,
        key_file=arguments.key_file,
        collectors=settings.broker.collectors,
    )
    written = write_mosquitto_config(plan, tmp_path / "broker", installed_at=Path(arguments.rest[0]))
    made = {str(file.relative_to(tmp_path)) for file in written.credential_files.values()}
    assert {secret["file"] for name, secret in MAIN["secrets"].items() if name.startswith("broker-")} <= made
    assert SERVICES["broker"]["command"] == ["mosquitto", "-c", f"{arguments.rest[0]}/{written.config_file.name}"]
    assert settings.broker.url == f"mqtts://broker:{plan.port}"


def test_every_region_has_a_worker_with_an_outbox_of_its_own() -> None:
    """And there are two collectors with names of their own."""
    fleet = [settings_of(name) for name in WORKERS]
    assert sorted(settings.region for settings in fleet) == sorted(fleet[0].regions)
    assert len({service["volumes"][0].partition(":")[0] for service in WORKERS.values()}) == len(WORKERS)
    assert {service["volumes"][0].partition(":")[2] for service in WORKERS.values()} == {"/home/probe"}
    names = [settings_of(name).collector.name for name in PARTS if name not in WORKERS]
    assert names == ["collector-1", "collector-2"]


def test_the_image_is_the_one_that_the_dockerfile_builds() -> None:
    """Its user, its home and its interpreter are those that the files rely on."""
    build = OURS["broker-config"]["build"]
    assert (COMPOSE / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert "useradd --uid 10001 --create-home" in DOCKERFILE
    assert "USER probe" in DOCKERFILE
    assert '"/opt/probe-fleet/.venv/bin/python", "/opt/probe-fleet/runner.py"' in DOCKERFILE
    assert SERVICES["broker"]["user"].startswith("10001:")
    assert {service["healthcheck"]["test"][1] for service in PARTS.values()} == {"/opt/probe-fleet/.venv/bin/python"}
    dockerfile = (COMPOSE / "stand-in.Dockerfile").read_text(encoding="utf-8")
    assert f"ARG PROBE_IMAGE={MAIN['name']}\n" in dockerfile
    needed = [word for line in dockerfile.splitlines() if line.startswith("COPY") for word in line.split()[1:2]]
    ignored = (COMPOSE / "stand-in.Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert [word for word in needed if f"!{word}" not in ignored or not (DEPLOY.parent / word).exists()] == []


@pytest.mark.parametrize("name", ["collector-1", "worker-eu-west"])
@pytest.mark.parametrize("ready", [True, False])
async def test_a_health_check_asks_the_real_page(name: str, ready: bool, free_port: int) -> None:
    """The very program of the file, against the very page: 0 for ready, something else for not."""
    variable = "PROBE_FLEET_WORKER_HEALTH" if name in WORKERS else "PROBE_FLEET_COLLECTOR_HEALTH"
    assert variables(name)[variable]
    program = PARTS[name]["healthcheck"]["test"][2:]
    async with open_health(f"127.0.0.1:{free_port}", Health(lambda: ready, dict)):
        environ = {variable: f"127.0.0.1:{free_port}"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *program, env=environ, stderr=asyncio.subprocess.DEVNULL
        )
        code = await asyncio.wait_for(process.wait(), 60)
    assert (code == 0) is ready


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_and_seen_from_this_machine_alone(name: str) -> None:
    """Memory, rights, and ports on loopback."""
    service = SERVICES[name]
    if name != "broker-config":
        assert service["deploy"]["resources"]["limits"]["memory"]
        assert service["healthcheck"]["test"]
        assert service["restart"] == "unless-stopped"
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    if name != "database":
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_no_orderly_end_is_cut_off() -> None:
    """Compose waits longer than a worker needs at most."""
    for name, service in WORKERS.items():
        assert float(service["stop_grace_period"].removesuffix("s")) > worker_stop_limit_s(settings_of(name))


def test_the_files_to_try_it_probe_the_stand_in_from_its_own_network() -> None:
    """It listens on loopback only; on one loopback each worker needs a health port of its own."""
    assert set(TRY["services"]) == {"stand-in", *WORKERS}
    command_of(TRY["services"]["stand-in"]["command"])
    fleet = [settings_of(name, TRY) for name in WORKERS]
    assert {settings.target for settings in fleet} == {"stand-in"}
    assert len({settings.worker.health for settings in fleet}) == len(fleet)
    assert {TRY["services"][name]["network_mode"] for name in WORKERS} == {"service:stand-in"}
    assert not any("networks" in service for service in WORKERS.values())
