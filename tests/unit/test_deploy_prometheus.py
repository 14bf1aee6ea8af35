"""What is published for Prometheus: right for promtool, true to the objectives, about metrics that are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from collector.exports.metric_catalog import CATALOG, Kind
from console.objectives import load_set
from console.rules_command import rules_text
from slo.prometheus_rules import BURN_ALERT
from tests.prometheus_kit import need

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
SUFFIXES = ("_bucket", "_sum", "_count")


@pytest.mark.parametrize(
    "words", [("config", "prometheus.yml"), ("rules", "rules/service-levels.yaml"), ("rules", "rules/fleet.yaml")]
)
def test_promtool_finds_nothing_wrong(words: tuple[str, str]) -> None:
    """The configuration with the rules that it names, and each file of rules."""
    kind, name = words
    checked = subprocess.run(
        [need("promtool"), "check", kind, str(FOLDER / name)], capture_output=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_published_rules_are_those_of_the_built_in_objectives() -> None:
    """An objective that changed and rules that were not written again (`runner.py slo rules`) are noticed here."""
    text = rules_text(load_set())
    assert (FOLDER / "rules" / "service-levels.yaml").read_text(encoding="utf-8") == text
    alerts = [rule["labels"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"] if "alert" in rule]
    assert {"objective": "api-uptime", "severity": "critical"} in alerts
    assert BURN_ALERT in text


@pytest.mark.parametrize("file", sorted((FOLDER / "rules").glob("*.yaml")), ids=lambda file: file.stem)
def test_rules_ask_for_metrics_and_labels_that_there_are(file: Path) -> None:
    """A rule over a name that nobody exports is silent for ever."""
    text = file.read_text(encoding="utf-8")
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        for name in re.findall(r"(?<![\w:])fleet_\w+", rule["expr"].replace("objective:", "objective:")):
            stem = next((name.removesuffix(one) for one in SUFFIXES if name.endswith(one)), name)
            assert name in CATALOG or stem in CATALOG or any(name in one for one in recorded), name
        for name, chosen in re.findall(r"(?<![\w:])(fleet_\w+)\{([^}]*)\}", rule["expr"]):
            labels = set(re.findall(r"(\w+)\s*=", chosen)) - {"le"}
            assert name in recorded or labels <= set(CATALOG[name].labels), (name, labels)


def test_the_reference_names_every_metric_with_its_type_and_labels() -> None:
    """And none that is not there."""
    rows = dict(re.findall(r"^\| `(fleet_\w+)` \| ([^|]+ \| [^|]+) \|", PAGE, re.MULTILINE))
    wanted = {
        name: f"{metric.kind.value} | {', '.join(f'`{label}`' for label in metric.labels) or 'none'}"
        for name, metric in CATALOG.items()
    }
    assert rows == wanted


def test_names_follow_the_conventions_of_prometheus() -> None:
    """Counters end in `_total`, facts in `_info`, and nothing else does; times are in seconds, sizes in bytes."""
    for name, metric in CATALOG.items():
        assert name.endswith("_total") is (metric.kind is Kind.COUNTER), name
        assert name.endswith("_info") is (metric.kind is Kind.INFO), name
        assert not re.search(r"_(ms|ns|millis|minutes|hours|kib|mib|percent)(_|$)", name), name
        assert metric.help.endswith("."), name
