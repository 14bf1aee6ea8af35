"""Bundles of failed runs: what is written reads back, and a file from anywhere is refused with a sentence."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from collector.texts.run_difference import differences, nearest_passing
from console.bundle import BundleHead, read_bundle, write_bundle
from console.circumstances import Circumstances, changes
from probes.errors import OperatorError
from probes.records import FailureKind
from tests.sample_runs import STARTED_AT, make_run, make_step

NOW = Circumstances(
    fleet_version="0.1.0",
    python="3.12.1",
    system="Linux",
    browser="130.0",
    target="staging",
    target_file_sha256="0" * 64,
    is_stand_in=False,
    bases={"api": "https://staging.example"},
    dns={"staging.example": ["192.0.2.1"]},
    region="local",
)
FAILED = make_run(make_step("sign-in"), make_step("price", kind=FailureKind.ASSERTION, message="total is 0"), number=2)
PASSED = make_run(make_step("sign-in"), make_step("price"), make_step("quote"), number=1)
HEAD = BundleHead(
    made_at=STARTED_AT,
    scenario="quote",
    scenario_version="1",
    scenario_file="quote.py",
    seed=7,
    headline="FAIL",
    inputs={"bracket": "1" * 64},
    circumstances=NOW,
)


def test_a_bundle_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Both runs, the head, and the scenario's file; for its owner alone."""
    script = tmp_path / "quote.py"
    script.write_text("# a scenario\n")
    path = write_bundle(
        tmp_path / "deep" / "b.zip",
        HEAD,
        FAILED,
        passing=PASSED,
        files={"scenario/quote.py": script},
        evidence=tmp_path,
    )
    bundle = read_bundle(path)
    assert (bundle.head, bundle.run, bundle.passing) == (HEAD, FAILED, PASSED)
    assert path.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(path) as archive:
        assert archive.read("scenario/quote.py") == b"# a scenario\n"


def test_the_circumstances_say_what_changed() -> None:
    """One line each; nothing when nothing did."""
    assert changes(NOW, NOW) == ()
    later = NOW.model_copy(update={"browser": "131.0", "dns": {"staging.example": ["192.0.2.9"]}})
    assert changes(later, NOW) == (
        "browser: 131.0 now, 130.0 then",
        "addresses of staging.example: 192.0.2.9 now, 192.0.2.1 then",
    )


def test_the_difference_of_two_runs_is_told_in_the_order_of_the_journey() -> None:
    """What failed, and what was never reached."""
    lines = differences(FAILED, PASSED)
    assert "outcome: fail here, pass there" in lines
    assert "failed step: price here, none there" in lines
    assert lines[-1] == "not reached here: quote"
    assert nearest_passing(FAILED, [PASSED]) is PASSED
    assert nearest_passing(FAILED, [make_run(make_step("x"), scenario="other")]) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a zip",
        {"run.json": b"{}"},
        {"bundle.json": b"{}", "run.json": b"{}"},
        {"bundle.json": HEAD.model_dump_json().encode(), "run.json": b'{"schema_version": 99}'},
        {"bundle.json": b"\xff\xfe", "run.json": b""},
        {"bundle.json": b" " * (17 * 1024 * 1024), "run.json": b""},
    ],
    ids=["empty", "text", "no head", "no facts", "of another version", "bytes", "a bomb"],
)
def test_what_is_no_bundle_is_refused_with_a_sentence(tmp_path: Path, content: bytes | dict[str, bytes]) -> None:
    """OperatorError, whatever is in the file; nothing is unpacked."""
    path = tmp_path / "b.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    with pytest.raises(OperatorError, match="no bundle of a run"):
        read_bundle(path)
    with pytest.raises(OperatorError, match="there is no such bundle"):
        read_bundle(tmp_path / "missing.zip")
