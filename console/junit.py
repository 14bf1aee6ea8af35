"""JUnit XML for CI: a suite per scenario, a case per run.

A run that found the platform at fault is a `failure`, with the kind as its type. An inconclusive run is an `error`: the
test could not be made, which must not turn a pipeline green and must not read as the platform's fault. What was left out
is `skipped`. Refuses: characters that XML 1.0 cannot hold (they become U+FFFD). Called by `console.session`;
`console.gate_junit` shares its ways.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from collector.texts.figures import duration_text
from console.step_rows import MARKS, step_subject
from console.verdict import failure_text
from probes.records import Outcome, Run, Step

__all__ = ["render_junit", "sum_up", "xml_text"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NS_PER_S = 1_000_000_000


def render_junit(runs: Sequence[Run], *, left_out: Sequence[tuple[str, str]] = ()) -> bytes:
    """The document for `runs` in their order; `left_out` pairs a scenario with the reason why it did not run."""
    root = ET.Element("testsuites", name="probe-fleet")
    for scenario in dict.fromkeys(run.identity.scenario for run in runs):
        _add_suite(root, scenario, [run for run in runs if run.identity.scenario == scenario])
    for scenario, reason in left_out:
        suite = ET.SubElement(root, "testsuite", name=scenario, tests="1", failures="0", errors="0", skipped="1")
        case = ET.SubElement(suite, "testcase", classname=scenario, name=scenario, time="0")
        ET.SubElement(case, "skipped", message=xml_text(reason))
    sum_up(root)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add_suite(root: ET.Element, scenario: str, runs: Sequence[Run]) -> None:
    suite = ET.SubElement(
        root,
        "testsuite",
        name=scenario,
        tests=str(len(runs)),
        failures=str(sum(run.outcome is Outcome.FAIL for run in runs)),
        errors=str(sum(run.outcome is Outcome.INCONCLUSIVE for run in runs)),
        skipped="0",
        time=_seconds(sum(run.duration_ns for run in runs)),
        timestamp=runs[0].started_at.isoformat(timespec="seconds"),
    )
    for run in runs:
        _add_case(suite, run)


def _add_case(suite: ET.Element, run: Run) -> None:
    name = f"{run.identity.scenario} {run.run_id}"
    case = ET.SubElement(suite, "testcase", classname=run.identity.scenario, name=name, time=_seconds(run.duration_ns))
    if run.outcome is not Outcome.PASS:
        tag = "failure" if run.outcome is Outcome.FAIL else "error"
        kind = run.failure.kind.value if run.failure else "unfit_host"
        reason = ET.SubElement(case, tag, type=kind, message=xml_text(failure_text(run)))
        reason.text = xml_text("\n".join(_unmet(run)))
    ET.SubElement(case, "system-out").text = xml_text("\n".join(_step_line(step) for step in run.steps))


def _unmet(run: Run) -> list[str]:
    return [
        f"{step.name}: {check.name}: expected {check.expected}, found {check.found}"
        for step in run.steps
        for check in step.expectations
        if not check.ok
    ] or [failure_text(run)]


def _step_line(step: Step) -> str:
    subject = step_subject(step)
    head = " ".join(filter(None, (MARKS[step.outcome], step.name, subject, duration_text(step.duration_ns))))
    return f"{head} ({step.failure.kind.value}: {step.failure.message})" if step.failure else head


def sum_up(root: ET.Element) -> None:
    """Write the totals of all suites into the root."""
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in root):.3f}")


def _seconds(duration_ns: int) -> str:
    return f"{duration_ns / _NS_PER_S:.3f}"


def xml_text(text: str) -> str:
    """The text with U+FFFD for whatever XML 1.0 cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
