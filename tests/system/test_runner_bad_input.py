"""What a person is told who gives the command something wrong: what, where, what to do next, and the right exit code."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trustme

from tests.platform_kit import start_stand_in
from tests.runner_kit import ROOT, Outcome, Runner, broken_server, run_process, write_target

CALM = '''
"""A scenario of one's own."""
from probes.registry import scenario

@scenario("calm")
async def calm(probe):
    """Ask how the API is."""
    async with probe.step("api-health"):
        await probe.request("GET", probe.target.base("api") + "/health")
'''
CLOSED_PORT = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """A stand-in that all tests of this file share; none of them breaks it."""
    with start_stand_in("--warm", "0") as stand_in:
        yield dict(stand_in.urls)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """The command, with a state folder of its own."""
    return Runner(tmp_path, monkeypatch, capsys)


@pytest.fixture
def target(tmp_path: Path, urls: dict[str, str]) -> str:
    """A description of the shared stand-in."""
    return str(write_target(tmp_path, urls))


def scenarios(folder: Path, **files: str) -> str:
    """A folder with these scenario files."""
    place = folder / "own"
    place.mkdir()
    for name, text in files.items():
        (place / f"{name}.py").write_text(text)
    return str(place)


def test_an_unknown_scenario_suggests_the_near_name_and_starts_nothing(call: Runner) -> None:
    """The answer comes before a stand-in is started for nothing."""
    outcome = call("--scenario", "cad-lrge")
    assert outcome.code == 2
    assert "there is no scenario 'cad-lrge'" in outcome.err
    assert "Did you mean 'cad-large'?" in outcome.err
    assert "Probing" not in outcome.out


def test_a_glob_that_matches_nothing_is_refused(call: Runner) -> None:
    """An empty selection would be an empty success."""
    outcome = call("--scenario", "kad-*")
    assert outcome.code == 2
    assert "no scenario matches 'kad-*'" in outcome.err


def test_an_unknown_target_suggests_the_near_name(call: Runner) -> None:
    """As for scenarios."""
    outcome = call("--scenario", "api-health", "--target", "cnc-qoute")
    assert outcome.code == 2
    assert "unknown target 'cnc-qoute'" in outcome.err
    assert "cnc-quote" in outcome.err


def test_a_target_file_that_is_not_there_is_named(call: Runner) -> None:
    """A path is a path, and is never looked up as a name."""
    outcome = call("--scenario", "api-health", "--target", "nowhere/target.toml")
    assert outcome.code == 2
    assert "nowhere/target.toml" in outcome.err


def test_malformed_toml_is_shown_with_file_and_line(call: Runner, tmp_path: Path, urls: dict[str, str]) -> None:
    """The line is where the parser stopped."""
    path = write_target(tmp_path, urls, ('name = "stand-in"', 'name = "stand-in'))
    line = path.read_text().splitlines().index('name = "stand-in') + 1
    outcome = call("--scenario", "api-health", "--target", str(path))
    assert outcome.code == 2
    assert f"{path}:{line}" in outcome.err


def test_an_unknown_key_is_shown_with_file_line_and_the_near_key(
    call: Runner, tmp_path: Path, urls: dict[str, str]
) -> None:
    """A misspelt key would otherwise be a rule that silently does not hold."""
    path = write_target(tmp_path, urls, ("hostile_files = false", "hostile_file = false"))
    line = path.read_text().splitlines().index("hostile_file = false") + 1
    outcome = call("--scenario", "api-health", "--target", str(path))
    assert outcome.code == 2
    assert f"{path}:{line}" in outcome.err
    assert "hostile_files" in outcome.err


def test_an_unknown_setting_is_shown_with_file_and_line(call: Runner, tmp_path: Path) -> None:
    """Settings are as strict as targets."""
    path = tmp_path / "fleet.toml"
    path.write_text('region = "eu"\nprobes = "a"\n')
    outcome = call("--scenario", "api-health", "--settings", str(path))
    assert outcome.code == 2
    assert f"{path}:2" in outcome.err


def test_a_settings_file_that_is_not_there_is_named(call: Runner) -> None:
    """Nobody should believe that the defaults are theirs."""
    outcome = call("list", "--settings", "nowhere.toml")
    assert outcome.code == 2
    assert "nowhere.toml" in outcome.err


def test_a_missing_secret_is_told_before_anything_runs(
    call: Runner, tmp_path: Path, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable and the key are named; a scenario that needs no secret runs all the same."""
    monkeypatch.delenv("STAND_IN_PASSWORD", raising=False)
    path = write_target(tmp_path, urls, ('public_default = "probe-password"', ""))
    outcome = call("--scenario", "sign-in", "--target", str(path))
    assert outcome.code == 2
    assert "STAND_IN_PASSWORD" in outcome.err
    assert "password" in outcome.err
    assert "run " not in outcome.out
    assert call("--scenario", "api-health", "--target", str(path)).code == 0


def test_an_unreachable_host_is_the_platforms_fault(call: Runner, tmp_path: Path) -> None:
    """Connection refused is what a customer would get: exit code 1, kind connect."""
    path = write_target(tmp_path, dict.fromkeys(("api", "web", "cad", "host"), CLOSED_PORT))
    outcome = call("--scenario", "api-health", "--target", str(path))
    assert outcome.code == 1
    assert "api-health failed (connect)" in outcome.said or "api-health connect:" in outcome.said
    assert "FAILED: 1 run found the platform at fault." in outcome.out


def test_a_wrong_certificate_is_told_as_one(call: Runner, tmp_path: Path) -> None:
    """A certificate of an unknown authority: exit code 1, kind tls, and the words of the check."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with broken_server(lambda connection: connection.sendall(b""), tls=context) as url:
        path = write_target(tmp_path, dict.fromkeys(("api", "web", "cad", "host"), url))
        outcome = call("--scenario", "api-health", "--target", str(path))
    assert outcome.code == 1
    assert "api-health tls:" in outcome.said
    assert "certificate" in outcome.said


def read_and_hang_up(connection: socket.socket) -> None:
    """Take the request and close without an answer."""
    connection.recv(65536)


def half_an_answer(connection: socket.socket) -> None:
    """Promise ten bytes, send four."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{} {")


@pytest.mark.parametrize("answer", [read_and_hang_up, half_an_answer])
def test_a_target_that_closes_early_fails_the_step(
    call: Runner, tmp_path: Path, answer: Callable[[socket.socket], None]
) -> None:
    """No answer and half an answer are both a broken connection, never a success with what came."""
    with broken_server(answer) as url:
        path = write_target(tmp_path, dict.fromkeys(("api", "web", "cad", "host"), url))
        outcome = call("--scenario", "api-health", "--target", str(path))
    assert outcome.code == 1
    assert "api-health connect:" in outcome.said


def test_an_evidence_folder_that_cannot_be_is_told_before_anything_runs(
    call: Runner, tmp_path: Path, target: str
) -> None:
    """The folder is a file here; a read-only one goes the same way."""
    (tmp_path / "file").touch()
    outcome = call("--scenario", "api-health", "--target", target, "--evidence-dir", str(tmp_path / "file" / "x"))
    assert outcome.code == 2
    assert "evidence cannot be kept" in outcome.err
    assert "--evidence-dir" in outcome.err
    assert "✓" not in outcome.out


@pytest.mark.skipif(not Path("/proc/sys").is_dir(), reason="needs a folder that not even root may write to")
def test_a_read_only_evidence_folder_is_told_before_anything_runs(call: Runner, target: str) -> None:
    """A place that the kernel refuses to everybody."""
    outcome = call("--scenario", "api-health", "--target", target, "--evidence-dir", "/proc/sys")
    assert outcome.code in (2, 3)
    assert "evidence cannot be kept in /proc/sys" in outcome.err


def on_a_full_disk(arguments: Sequence[str], state: Path) -> Outcome:
    """The command in a process that may not add a byte to any file."""
    command = ["/bin/sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", sys.executable, "runner.py", *arguments]
    return run_process(command, cwd=ROOT, environ={**os.environ, "XDG_STATE_HOME": str(state), "COLUMNS": "200"})


def test_a_full_disk_is_told_before_anything_runs(tmp_path: Path, target: str) -> None:
    """It is this host that lacks something: exit code 3."""
    done = on_a_full_disk(["--scenario", "api-health", "--target", target], tmp_path)
    assert done.code == 3
    assert "evidence cannot be kept" in done.err
    assert "Make room" in done.err


def test_a_full_disk_does_not_take_the_measurement_away(tmp_path: Path, target: str) -> None:
    """Without evidence the run is made and told; only that it could not be kept is noted."""
    done = on_a_full_disk(["--scenario", "api-health", "--target", target, "--evidence", "never"], tmp_path)
    assert done.code == 0, done.err
    assert "PASSED: 1 run" in done.out
    assert "could not be kept for `show`" in done.said


@pytest.mark.parametrize(
    ("broken", "reason"),
    [("def x(:\n", "syntax error"), ("import nothing_like_this\n", "nothing_like_this")],
    ids=["syntax", "import"],
)
def test_a_broken_scenario_file_is_named_and_the_others_still_run(
    call: Runner, tmp_path: Path, target: str, broken: str, reason: str
) -> None:
    """File, line and reason in the report; the good neighbour passes."""
    folder = scenarios(tmp_path, calm=CALM, broken=broken)
    outcome = call("--scenario", "calm", "--scenarios", folder, "--target", target)
    assert outcome.code == 0
    assert f"{folder}/broken.py:1" in outcome.said
    assert reason in outcome.said
    assert "PASSED: 1 run" in outcome.out
    listed = call("list", "--scenarios", folder)
    assert listed.code == 2
    assert "would not load" in listed.out
    assert "calm" in listed.out


def test_a_scenario_that_was_in_a_broken_file_is_explained(call: Runner, tmp_path: Path) -> None:
    """Whoever asks for it by name is shown why it is not there."""
    folder = scenarios(tmp_path, broken="def x(:\n")
    outcome = call("--scenario", "mine", "--scenarios", folder)
    assert outcome.code == 2
    assert f"{folder}/broken.py:1" in outcome.said


def test_two_scenarios_of_one_name_are_refused_with_both_places(call: Runner, tmp_path: Path) -> None:
    """Nobody could say which one a result belongs to."""
    folder = scenarios(tmp_path, twin=CALM.replace('"calm"', '"api-health"'))
    outcome = call("--scenario", "api-health", "--scenarios", folder)
    assert outcome.code == 2
    assert "two scenarios are called 'api-health'" in outcome.err
    assert f"{folder}/twin.py" in outcome.err
    assert "api_health.py" in outcome.err


def test_a_browser_that_is_not_there_is_told_before_anything_runs(
    call: Runner, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that names none is an error; scenarios without a browser run all the same."""
    monkeypatch.setenv("PROBE_FLEET_BROWSER_PATH", "/nowhere/chromium")
    outcome = call("--scenario", "widget-load", "--target", target)
    assert outcome.code in (2, 3)
    assert "/nowhere/chromium" in outcome.err
    assert "widget-load" not in outcome.out
    assert call("--scenario", "api-health", "--target", target).code == 0


def test_a_reference_part_whose_hash_is_wrong_is_our_fault(tmp_path: Path, target: str) -> None:
    """A checkout with one changed byte in a part: inconclusive, the part named, nothing charged to the platform."""
    checkout = tmp_path / "checkout"
    for name in ("collector", "config", "console", "fixtures", "probes", "scenarios", "slo"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "runner.py", checkout)
    part = next((checkout / "fixtures" / "cad" / "files").rglob("bracket.step"))
    content = bytearray(part.read_bytes())
    content[-10] ^= 1
    part.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "runner.py", "--scenario", "cad-small", "--target", target],
        cwd=checkout,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "INCONCLUSIVE" in done.stdout
    assert "bracket.step" in done.stdout
    assert "FAILED" not in done.stdout


def test_an_output_file_that_cannot_be_written_is_told_before_anything_runs(
    call: Runner, tmp_path: Path, target: str
) -> None:
    """An hour of runs must not end in an error."""
    for option in ("--json", "--junit"):
        outcome = call("--scenario", "api-health", "--target", target, option, str(tmp_path / "no" / "out"))
        assert outcome.code == 2
        assert option in outcome.err
        assert "mkdir -p" in outcome.err
        assert "Probing" not in outcome.out
    assert call("--scenario", "api-health", "--json", str(tmp_path)).code == 2


@pytest.mark.parametrize(
    "command",
    [
        ("collector", "--broker", "mqtt://127.0.0.1:9"),
        ("import", "some.jsonl"),
        ("fleet", "--broker", "mqtt://127.0.0.1:9"),
    ],
)
def test_a_database_in_a_folder_that_cannot_be_is_told(
    call: Runner, tmp_path: Path, target: str, command: tuple[str, ...]
) -> None:
    """A fault of the disk or of a name, for a person to mend: no bug of ours, and no traceback in the log."""
    (tmp_path / "file").touch()
    options = ("--target", target) if command[0] == "fleet" else ()
    outcome = call(*command, *options, "--database", str(tmp_path / "file" / "deeper" / "some.db"))
    assert outcome.code == 3
    assert "the database cannot be used" in outcome.err
    assert "bug of ours" not in outcome.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "nothing to do"),
        (("--scenario", "quote", "--repeat", "0"), "from 1 to"),
        (("--scenario", "quote", "--repeat", "many"), "from 1 to"),
        (("--scenario", "quote", "--every", "soon"), "not a duration"),
        (("--scenario", "quote", "--evidence", "sometimes"), "invalid choice"),
        (("--scenario", "quote", "--repeet", "3"), "Did you mean '--repeat'?"),
        (("list", "--scenario", "quote"), "does not go with the command 'list'"),
        (("demo", "now"), "takes no further word"),
        (("show", "a", "b"), "takes one run id"),
        (("quote",), "To run a scenario: --scenario quote"),
        (("lst",), "Did you mean 'list'?"),
        (("--quiet", "platform", "--fault", "slow"), "unknown option '--fault'"),
        (("show", "nothing-like-this"), "there is no run 'nothing-like-this'"),
        (("--scenario", "payment", "--target", "cnc-quote"), "cnc-quote"),
    ],
)
def test_wrong_usage_says_what_is_wrong_and_ends_with_2(call: Runner, arguments: Sequence[str], told: str) -> None:
    """Nothing runs, the message names the argument."""
    outcome = call(*arguments)
    assert outcome.code == 2
    assert told in outcome.err
    assert "Probing" not in outcome.out


@pytest.mark.parametrize("slip", ["swapped", "another key", "no certificate", "authority"])
def test_files_that_a_broker_would_not_start_with_are_told_before_a_configuration_is_overwritten(
    call: Runner, tmp_path: Path, slip: str
) -> None:
    """A broker that runs reads them at its next start, when nobody looks."""
    authority = trustme.CA()
    files = {}
    for name in ("one", "two"):
        made = authority.issue_cert("localhost")
        files[name] = (tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(str(files[name][0]))
        made.private_key_pem.write_to_path(str(files[name][1]))
    certificate, key = (str(file) for file in files["one"])
    noise = tmp_path / "noise"
    noise.write_text("no certificate")
    words = ("broker-config", str(tmp_path / "broker"))
    written = tmp_path / "broker" / "mosquitto.conf"
    assert call(*words, "--certificate", certificate, "--key", key).code == 0
    before = written.read_bytes()
    wrong = {
        "swapped": ("--certificate", key, "--key", certificate),
        "another key": ("--certificate", certificate, "--key", str(files["two"][1])),
        "no certificate": ("--certificate", str(noise), "--key", key),
        "authority": ("--certificate", certificate, "--key", key, "--client-authority", str(noise)),
    }
    outcome = call(*words, *wrong[slip])
    assert outcome.code == 2
    assert ("do not go together" in outcome.err) == (slip != "authority")
    assert "next:" in outcome.err
    assert written.read_bytes() == before
