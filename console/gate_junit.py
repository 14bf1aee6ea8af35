"""A gate's report as JUnit XML: a suite per scenario, a case for its check and one for each timed step.

What failed the release is a `failure`. What is open is an `error`: it must hold the pipeline and must not read as the
platform's fault; where the release has failed already it is `skipped`. Evidence is linked in the case's output. Refuses cases
per run: a gate is one statement per check. Called by `console.gate_files`.
"""

from __future__ import annotations

from pathlib import PurePath
from xml.etree import ElementTree as ET

from console.gate_story import GateStory, check_text, headline, percent_text, step_text, subject, why_different
from console.junit import sum_up, xml_text
from console.verdict import failure_text
from probes.records import Outcome, Run
from slo.gate import GateDecision
from slo.release_gate import CheckState, ReleaseDecision, StepState

__all__ = ["render_gate_junit"]

_MOST_RUNS = 20


def render_gate_junit(story: GateStory) -> bytes:
    """The document; its name is the headline."""
    root = ET.Element("testsuites", name=xml_text(headline(story)))
    for state in story.gate.checks.values():
        _add_suite(root, story, state)
    for name, reason in story.left_out:
        suite = ET.SubElement(root, "testsuite", name=name, tests="1", failures="0", errors="0", skipped="1", time="0")
        case = ET.SubElement(suite, "testcase", classname=name, name=name, time="0")
        ET.SubElement(case, "skipped", message=xml_text(reason))
    sum_up(root)
    # Jenkins' schema (xunit-plugin, junit-10.xsd) knows this one for suites alone.
    del root.attrib["skipped"]
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add_suite(root: ET.Element, story: GateStory, state: CheckState) -> None:
    runs = story.of_check(state.name)
    spent_s = sum(run.duration_ns for run in runs) / 1e9
    suite = ET.SubElement(
        root,
        "testsuite",
        name=state.name,
        tests="0",
        failures="0",
        errors="0",
        skipped="0",
        time=f"{spent_s:.3f}",
        timestamp=story.started_at.isoformat(timespec="seconds"),
    )
    title = f"{percent_text(state.gate.refused_bad)} or more failing is excluded"
    case = ET.SubElement(suite, "testcase", classname=state.name, name=title, time=f"{spent_s:.3f}")
    kinds = [run.failure.kind.value for run in runs if run.outcome is Outcome.FAIL and run.failure is not None]
    failed_kind = max(set(kinds), key=kinds.count) if kinds else "failed"
    _add_result(case, story, state.decision, failed_kind, check_text(state))
    ET.SubElement(case, "system-out").text = xml_text("\n".join(_output(story, runs)))
    for step in story.gate.steps[state.name].values():
        _add_step(suite, story, step)
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))


def _add_step(suite: ET.Element, story: GateStory, step: StepState) -> None:
    name = f"{step.name} is not slower than {story.baseline}"
    spent_s = sum(step.candidate_ns) / 1e9
    case = ET.SubElement(suite, "testcase", classname=step.check, name=xml_text(name), time=f"{spent_s:.3f}")
    _add_result(case, story, step.decision, "slower", step_text(step))


def _add_result(case: ET.Element, story: GateStory, decision: GateDecision, kind: str, told: str) -> None:
    if decision is GateDecision.ACCEPT:
        return
    if decision is not GateDecision.REJECT and story.answer is ReleaseDecision.FAIL:
        ET.SubElement(case, "skipped", message=xml_text(f"the release had failed before this was decided; {told}"))
        return
    tag, word = ("failure", kind) if decision is GateDecision.REJECT else ("error", story.answer.value)
    result = ET.SubElement(case, tag, type=word, message=xml_text(told))
    result.text = xml_text(headline(story))


def _output(story: GateStory, runs: tuple[Run, ...]) -> list[str]:
    """The runs that did not pass, each with its difference and its evidence as GitLab and Jenkins link it."""
    lines = [subject(story)]
    bad = [run for run in runs if run.outcome is not Outcome.PASS]
    for run in bad[:_MOST_RUNS]:
        lines.append(f"{run.run_id}: {failure_text(run)}")
        if run.outcome is Outcome.FAIL:
            lines += [f"  {line}" for line in why_different(story, run)]
        lines += [f"[[ATTACHMENT|{PurePath(story.evidence_folder) / item.path}]]" for item in run.evidence]
    if len(bad) > _MOST_RUNS:
        lines.append(f"and {len(bad) - _MOST_RUNS} more")
    return lines if bad else [*lines, f"{len(runs)} runs, all passed"]
