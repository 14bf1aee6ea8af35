"""A soak against a real stand-in: verdicts while it goes on, to the end of its time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gate_kit import faulty
from tests.platform_kit import start_stand_in
from tests.runner_kit import Runner, write_target

pytestmark = pytest.mark.serial
SHORT = ("--for", "6s", "--every", "200ms", "--exclude", "60%")


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """A stand-in for this file."""
    with start_stand_in("--warm", "0") as stand_in:
        yield dict(stand_in.urls)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """The command, with a state folder of its own."""
    return Runner(tmp_path, monkeypatch, capsys)


@pytest.mark.slow
def test_a_healthy_platform_is_met_and_the_soak_goes_on(call: Runner, tmp_path: Path, urls: dict[str, str]) -> None:
    """Exit code 0; the verdict is told when it comes, and rounds follow it."""
    target, report = str(write_target(tmp_path, urls)), tmp_path / "soak.json"
    outcome = call("soak", "--target", target, "--scenario", "web-health", "--json", str(report), *SHORT)
    assert outcome.code == 0, outcome.out + outcome.err
    assert "web-health: met after" in outcome.out
    assert "1 met after" in outcome.out
    (check,) = json.loads(report.read_bytes())["checks"]
    assert check["rounds"] > check["decided_at_round"] > 1


def test_a_failing_platform_is_breached(call: Runner, tmp_path: Path, urls: dict[str, str]) -> None:
    """Exit code 1."""
    with faulty(urls, "error-5xx:route=health.web"):
        target = str(write_target(tmp_path, urls))
        outcome = call("soak", "--target", target, "--scenario", "web-health", *SHORT)
    assert outcome.code == 1, outcome.out + outcome.err
    assert "1 BREACHED after" in outcome.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("soak",), "a soak needs its length"),
        (("soak", "--for", "1h", "--baseline", "x"), "and no other"),
        (("soak", "--for", "1h", "--junit", "x.xml"), "and no other"),
        (("smoke", "--for", "1h"), "--for goes with"),
    ],
)
def test_what_a_soak_cannot_do_is_refused(call: Runner, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, before anything runs."""
    outcome = call(*words)
    assert outcome.code == 2
    assert said in outcome.said
