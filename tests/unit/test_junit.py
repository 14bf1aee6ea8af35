"""JUnit XML as CI reads it."""

from __future__ import annotations

from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped

from console.junit import render_junit
from probes.records import Expectation, FailureKind
from tests.sample_runs import MS, make_run, make_step

GOOD = make_run(make_step("price", 20 * MS, part="bracket", part_bytes=14_000))
BAD = make_run(
    make_step(
        "price",
        kind=FailureKind.ASSERTION,
        message="wrong \x00\x1b price <&>",
        expectations=(Expectation("subtotal", "> 0", "0", ok=False),),
    ),
    number=2,
)
OURS = make_run(make_step("load", kind=FailureKind.INTERNAL, message="no browser"), scenario="widget-load", number=3)


def read(content: bytes, folder: Path) -> JUnitXml:
    """What junitparser makes of the document."""
    path = folder / "junit.xml"
    path.write_bytes(content)
    return JUnitXml.fromfile(str(path))


def test_a_case_per_run_and_a_suite_per_scenario(tmp_path: Path) -> None:
    """The counts of the document, of its suites and of its cases agree."""
    document = read(render_junit([GOOD, BAD, OURS], left_out=[("payment", "not allowed here")]), tmp_path)
    assert (document.tests, document.failures, document.errors, document.skipped) == (4, 1, 1, 1)
    assert [(suite.name, suite.tests) for suite in document] == [("quote", 2), ("widget-load", 1), ("payment", 1)]


def test_the_platforms_fault_is_a_failure_and_ours_an_error(tmp_path: Path) -> None:
    """The type is the failure's kind, the message says the step, the text what was expected and found."""
    cases = [case for suite in read(render_junit([GOOD, BAD, OURS]), tmp_path) for case in suite]
    assert cases[0].result == []
    (failure,) = cases[1].result
    assert isinstance(failure, Failure)
    assert failure.type == "assertion"
    assert failure.message == "price failed (assertion): wrong \ufffd\ufffd price <&>"
    assert failure.text == "price: subtotal: expected > 0, found 0"
    (error,) = cases[2].result
    assert isinstance(error, Error)
    assert error.type == "internal"


def test_the_steps_stand_in_system_out(tmp_path: Path) -> None:
    """One line per step with its part and its time."""
    (case,) = (case for suite in read(render_junit([GOOD]), tmp_path) for case in suite)
    assert case.system_out == "✓ price bracket 14.0 kB 20.0 ms"
    assert case.time == 0.02


def test_a_scenario_that_was_left_out_is_skipped_with_its_reason(tmp_path: Path) -> None:
    """Nobody should believe that it ran."""
    (case,) = (
        case for suite in read(render_junit([], left_out=[("payment", "no test mode")]), tmp_path) for case in suite
    )
    (skipped,) = case.result
    assert isinstance(skipped, Skipped)
    assert skipped.message == "no test mode"
