"""The pipelines in `deploy/ci`: valid by their own schemas, and every option in them exists."""

from __future__ import annotations

import json
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from console.command_line import parse_arguments
from probes.settings import load_settings

CI = Path(__file__).parents[2] / "deploy" / "ci"
FILES = {"github-actions.yaml": "github-workflows.json", "gitlab-ci.yaml": "gitlab-ci.json"}


def read(name: str) -> dict[str, Any]:
    """The file; `on` of GitHub is a word and no boolean."""
    text = (CI / name).read_text("utf-8").replace("\non:", '\n"on":')
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("name", "schema"), FILES.items())
def test_a_pipeline_is_valid_by_the_schema_of_its_owner(name: str, schema: str) -> None:
    """As the servers check it."""
    vendor = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / schema
    validator = Draft7Validator(json.loads(vendor.read_text()))
    assert [error.message for error in validator.iter_errors(read(name))] == []


@pytest.mark.parametrize("name", FILES)
def test_the_command_of_a_pipeline_parses_and_ends_before_the_job_is_killed(name: str) -> None:
    """A gate that a server kills leaves no report: its own time is the shorter one."""
    text = (CI / name).read_text("utf-8")
    command = re.search(r"(?:runner\.py|probe-fleet) (smoke .*\n.*\n.*)", text)
    assert command is not None
    arguments = parse_arguments(shlex.split(command[1]))
    assert arguments.gate is not None
    minutes = int(re.findall(r"timeout(?:-minutes)?: (\d+)", text)[0])
    assert arguments.gate.most_time_s < minutes * 60 - 600
    assert arguments.junit_file is not None


@pytest.mark.parametrize("name", FILES)
def test_a_pipeline_tells_the_collector_of_its_release(name: str) -> None:
    """Its name comes in a variable, so that no shell reads it; all else that is named for it is a setting or the secret."""
    text = (CI / name).read_text("utf-8")
    assert re.search(r'--release "\$RELEASE" --environment staging$', text, re.MULTILINE)
    assert "${{ inputs.release }}" not in text.partition("run: >")[2]
    named = dict.fromkeys(re.findall(r"\bPROBE_FLEET_[A-Z_]+", text), "x")
    assert set(named) == {"PROBE_FLEET_RELEASES_URL", "PROBE_FLEET_STATE_DIR"}
    settings = load_settings(environ={**named, "PROBE_FLEET_RELEASES_URL": "https://fleet.example/"})
    assert settings.releases.url == "https://fleet.example"
    assert settings.secret_sources[settings.releases.token].env in text
