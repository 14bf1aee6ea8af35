"""Run ids, trace context, the version and the mask."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from probes.ids import make_run_id, make_trace_id, make_traceparent
from probes.masking import Mask
from probes.version import VERSION

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@given(st.integers(min_value=1, max_value=10**12))
def test_run_ids_sort_by_time(later_ms: int) -> None:
    """A listing by name is a listing by time."""
    assert make_run_id(NOW) < make_run_id(NOW + timedelta(milliseconds=later_ms))


def test_run_ids_of_one_instant_differ() -> None:
    """80 random bits keep them apart."""
    ids = {make_run_id(NOW) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[0-9a-hjkmnp-tv-z]{26}", run_id) for run_id in ids)


def test_a_traceparent_has_the_form_of_the_standard() -> None:
    """Version 00, the run's trace, a fresh span, sampled."""
    trace_id = make_trace_id()
    first, second = make_traceparent(trace_id), make_traceparent(trace_id)
    assert re.fullmatch(rf"00-{trace_id}-[0-9a-f]{{16}}-01", first)
    assert first != second
    assert re.fullmatch(r"[0-9a-f]{32}", trace_id)


def test_the_version_is_the_projects() -> None:
    """The `User-Agent` does not lag behind a release."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == VERSION


@given(st.text(min_size=4, alphabet=st.characters(exclude_categories=["Cs"])), st.text(), st.text())
def test_no_spelling_of_a_secret_gets_through(secret: str, before: str, after: str) -> None:
    """As it is, in a URL and in JSON; asterisks alone may remain of a secret made of them."""
    mask = Mask()
    mask.hide(secret)
    for spelling in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
        shown = mask(f"{before}{spelling}{after}")
        assert spelling not in shown.replace("***", "") or set(spelling) <= {"*"} or spelling in before + after


def test_short_values_are_no_secrets() -> None:
    """A mask that hid `a` would hide everything."""
    mask = Mask()
    mask.hide("")
    mask.hide("abc")
    assert mask("abc is fine") == "abc is fine"


def test_of_two_secrets_the_longer_is_hidden_whole() -> None:
    """A secret that begins with another leaves no tail behind."""
    mask = Mask()
    mask.hide("token")
    mask.hide("token-and-more")
    assert mask("x token-and-more y") == "x *** y"
