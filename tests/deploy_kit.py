"""What tests of the deployment files share: reading them, and asking our own parser and settings what they make of them.

Used by tests named deploy. Nothing here starts a container or a unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from collector.mosquitto import MosquittoPlan, usernames
from console.arguments import Arguments
from console.broker_command import addresses_of
from console.command_line import parse_arguments
from probes.settings import Settings, load_settings
from probes.worker import KILL_GRACE_S, WorkerPlan

__all__ = ["DEPLOY", "broker_users", "command_of", "documents_in", "settings_with", "worker_stop_limit_s"]

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
SERVICES = ("worker", "collector", "broker-config", "platform")


def documents_in(file: Path) -> list[dict[str, Any]]:
    """Every document of a YAML file."""
    return [document for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document]


def command_of(words: Sequence[str]) -> Arguments:
    """The words after the program as our own command line takes them; raises for an option that there is not."""
    arguments = parse_arguments(words)
    assert arguments.command in SERVICES
    return arguments


def settings_with(environ: Mapping[str, str], file: Path) -> Settings:
    """The settings of a part that is started with these variables and this file; raises for a name that there is not."""
    ours = {name: value for name, value in environ.items() if name != "PROBE_FLEET_SETTINGS"}
    return load_settings(environ={"HOME": "/home/probe", **ours}, path=file)


def broker_users(settings: Settings) -> tuple[str, ...]:
    """Everybody whom `broker-config` lets in with these settings."""
    nowhere = Path("/none")
    plan = MosquittoPlan(
        probes=addresses_of(settings),
        certificate_file=nowhere,
        key_file=nowhere,
        collectors=settings.broker.collectors,
        operators=settings.broker.operators,
    )
    return usernames(plan)


def worker_stop_limit_s(settings: Settings) -> float:
    """The longest that an orderly end of a worker takes: runs, their clean-up, the outbox."""
    plan = WorkerPlan(fleet="f", region="r", probe="p", outbox_path=Path("/none"), factory="")
    return settings.worker.stop_s + KILL_GRACE_S + plan.flush_deadline_s
