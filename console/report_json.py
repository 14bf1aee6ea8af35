"""The report as JSON for programs: the runs as wire records, the service levels, the exit code.

The schema is documented in `docs/reference/cli.md`; a key is only ever added, and a change of meaning raises
`schema_version`. Refuses floats for what is decided by counts. Called by `console.session`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from console.report import Report
from console.verdict import ExitCode, outcome_sentences, sureness_sentences
from probes.wire import render_run
from slo.evidence import bad_rate_bounds
from slo.judgement import LineJudgement

__all__ = ["SCHEMA_VERSION", "render_report"]

SCHEMA_VERSION = 1


def render_report(report: Report, *, target: Mapping[str, str], exit_code: ExitCode, generated_at: datetime) -> bytes:
    """The whole report; `target` says what was probed (name, how it was chosen)."""
    document = {
        "schema": "probe-fleet/report",
        "schema_version": SCHEMA_VERSION,
        "generated_at": generated_at.isoformat(),
        "target": dict(target),
        "exit_code": int(exit_code),
        "outcome": exit_code.name.lower(),
        "interrupted": report.interrupted,
        "verdict": [*outcome_sentences(report.runs), *sureness_sentences(report.judgements, report.runs)],
        "left_out": list(report.left_out),
        "notes": list(report.notes),
        "service_levels": [_level(judgement) for judgement in report.judgements],
        "runs": [json.loads(render_run(run)) for run in report.runs],
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _level(judgement: LineJudgement) -> dict[str, object]:
    objective = judgement.objective
    bounds = bad_rate_bounds(judgement.bad, judgement.total, design_effect=judgement.design_effect)
    return {
        "line": objective.line,
        "name": objective.name,
        "title": objective.title,
        "version": objective.version,
        "limit_ns": objective.limit_ns,
        "percentile": objective.percentile,
        "allowed_bad_ratio": str(objective.allowed_bad),
        "events": judgement.total,
        "bad": judgement.bad,
        "runs": judgement.runs,
        "runs_needed": judgement.needed,
        "percentile_ns": judgement.percentile_ns if judgement.runs >= judgement.needed else None,
        "within_limit": judgement.within_limit,
        "verdict": judgement.verdict.value,
        "bad_ratio_low_95": bounds.low,
        "bad_ratio_high_95": bounds.high,
    }
