"""Who tells of a release: the job of a CI server by its own variables, else the person; and where the job's page is.

What variables say is cut and cleaned, and what is no address is left out: a strange runner must not spoil a gate. Called by
`console.gate_release` and `console.releases_command`.

Source: GitHub Actions, "Variables reference"; GitLab CI/CD, "Predefined CI/CD variables reference".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from collector.texts.figures import printable
from probes.errors import OperatorError
from probes.release_marker import MOST_BY, release_of

__all__ = ["Origin", "origin_of"]


@dataclass(frozen=True, slots=True)
class Origin:
    """`by` is a person or a job, `url` the job's page; both may be empty."""

    by: str
    url: str


def origin_of(environ: Mapping[str, str]) -> Origin:
    """Who we are here."""
    by, url = environ.get("USER") or environ.get("LOGNAME", ""), ""
    if environ.get("GITHUB_ACTIONS") == "true":
        job = f"{environ.get('GITHUB_WORKFLOW', '')} #{environ.get('GITHUB_RUN_NUMBER', '')}"
        by = _told("GitHub Actions", job, environ.get("GITHUB_ACTOR", ""))
        place = f"{environ.get('GITHUB_SERVER_URL', '')}/{environ.get('GITHUB_REPOSITORY', '')}"
        url = f"{place}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}"
    elif environ.get("GITLAB_CI") == "true":
        job = f"{environ.get('CI_JOB_NAME', '')} #{environ.get('CI_JOB_ID', '')}"
        by = _told("GitLab CI", job, environ.get("GITLAB_USER_LOGIN", ""))
        url = environ.get("CI_JOB_URL", "")
    return Origin(printable(by)[:MOST_BY].strip(), url if _is_address(url) else "")


def _told(server: str, job: str, person: str) -> str:
    return f"{server}: {job}, {person}" if person else f"{server}: {job}"


def _is_address(url: str) -> bool:
    try:
        release_of(
            {"name": "x", "target": "x", "began_at": datetime(2026, 1, 1, tzinfo=UTC), "report_url": url}, where="CI"
        )
    except OperatorError:
        return False
    return True
