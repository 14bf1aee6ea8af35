"""A second opinion on alerts: our histories as Prometheus counters, judged by promtool or by a server on loopback.

A counter begins at 0 and takes a minute's counts at the minute's end, so that place i of its values is the instant i minutes
after the history's beginning, and an evaluation at place i + 1 sees what our engine sees at the end of minute i.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from slo.burn import Cause, Episode, EventHistory, History, alert_episodes
from slo.burn_tiers import TierFit
from slo.prometheus_rules import BURN_ALERT, NO_DATA_ALERT

__all__ = [
    "ALERTS",
    "OBJECTIVE",
    "PrometheusServer",
    "counters",
    "firing_minutes",
    "judge_with_promtool",
    "need",
    "our_episodes",
    "prometheus_server",
    "running_prometheus",
    "values_text",
]

OBJECTIVE = "line"
ALERTS = {Cause.BURN: BURN_ALERT, Cause.NO_DATA: NO_DATA_ALERT}
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
Fires = Sequence[tuple[TierFit, tuple[Episode, ...]]]


def need(program: str) -> str:
    """Where the program is; skips the test where Prometheus is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def counters(history: History) -> dict[str, list[int]]:
    """Each series of a history with its running sums, the 0 at the beginning included."""
    minutes = range(history.span.minutes)
    if isinstance(history, EventHistory):
        events = [history.events.get(history.span.from_minute + place, (0, 0)) for place in minutes]
        rows: dict[str, Iterable[int]] = {"good": [good for good, _ in events], "bad": [bad for _, bad in events]}
        name, label = "fleet_events_total", "outcome"
    else:
        unknown = ~(history.good | history.bad | history.excluded)
        bits = {"good": history.good, "bad": history.bad, "unknown": unknown, "excluded": history.excluded}
        rows = {state: [one >> place & 1 for place in minutes] for state, one in bits.items()}
        name, label = "fleet_slices_total", "state"
    return {
        f'{name}{{objective="{OBJECTIVE}",{label}="{kind}"}}': list(accumulate(row, initial=0))
        for kind, row in rows.items()
    }


def values_text(values: Sequence[int]) -> str:
    """The values as promtool reads them: `5+1x3` is 5 and three steps of 1."""
    steps = (after - before for before, after in pairwise(values))
    text, place = [], 0
    for step, group in groupby(steps):
        length = sum(1 for _ in group)
        # A row of steps holds its first value too, which the row before has said already.
        text.append(f"{values[place + 1]}+{step}x{length - 1}")
        place += length
    return " ".join([str(values[0]), *text])


def our_episodes(history: History, fits: Sequence[TierFit]) -> Fires:
    """What our engine says of the whole history."""
    return alert_episodes(history, fits, history.span)


def firing_minutes(fires: Fires, cause: Cause, severity: str, until_minute: int) -> set[int]:
    """The minutes at whose end an alert was on."""
    return {
        minute
        for fit, episodes in fires
        if fit.tier.severity == severity
        for one in episodes
        if one.cause is cause
        for minute in range(one.fired_at_minute, one.resolved_at_minute or until_minute)
    }


def judge_with_promtool(
    folder: Path,
    group: Mapping[str, object],
    history: History,
    fires: Fires,
    series: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Fails unless Prometheus has each alert on at exactly the minutes of `fires`: their borders, and how many there are.

    `series` are counters from elsewhere, in the place of those of the history.
    """
    promtool = need("promtool")
    rules = folder / "rules.json"  # JSON is YAML
    rules.write_text(json.dumps({"groups": [group]}), encoding="utf-8")
    tests = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values_text(values)}
                    for name, values in (series or counters(history)).items()
                ],
                "promql_expr_test": [*_borders(history, fires), *_totals(history, fires)],
            }
        ],
    }
    (folder / "tests.json").write_text(json.dumps(tests), encoding="utf-8")
    for command in (["check", "rules", str(rules)], ["test", "rules", str(folder / "tests.json")]):
        ended = subprocess.run(
            [promtool, *command], capture_output=True, text=True, timeout=100, check=False, stdin=subprocess.DEVNULL
        )
        assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]


def _alert_labels(cause: Cause, severity: str) -> str:
    names = {"alertname": ALERTS[cause], "alertstate": "firing", "objective": OBJECTIVE, "severity": severity}
    return ", ".join(f'{name}="{value}"' for name, value in names.items())


def _borders(history: History, fires: Fires) -> Iterator[dict[str, object]]:
    """Which alerts are on one minute before and at each change, of whichever tier."""
    first, until = history.span.from_minute, history.span.until_minute
    on = {
        (cause, fit.tier.severity.value): firing_minutes(fires, cause, fit.tier.severity, until)
        for fit, _ in fires
        for cause in Cause
    }
    changes = {one.fired_at_minute for _, episodes in fires for one in episodes}
    changes |= {one.resolved_at_minute or until - 1 for _, episodes in fires for one in episodes}
    for minute in sorted({minute for change in changes for minute in (change - 1, change) if minute >= first}):
        yield {
            "expr": 'ALERTS{alertstate="firing"}',
            "eval_time": f"{minute - first + 1}m",
            "exp_samples": [
                {"labels": f"ALERTS{{{_alert_labels(cause, severity)}}}", "value": 1}
                for (cause, severity), minutes in on.items()
                if minute in minutes
            ],
        }


def _totals(history: History, fires: Fires) -> Iterator[dict[str, object]]:
    """In how many minutes each alert was on from beginning to end."""
    span = history.span
    for fit, _ in fires:
        for cause in Cause:
            labels = _alert_labels(cause, fit.tier.severity.value)
            total = len(firing_minutes(fires, cause, fit.tier.severity, span.until_minute))
            yield {
                "expr": f"sum(count_over_time(ALERTS{{{labels}}}[{span.minutes}m]))",
                "eval_time": f"{span.minutes}m",
                "exp_samples": [{"labels": "{}", "value": total}] if total else [],
            }


@dataclass(frozen=True, slots=True)
class PrometheusServer:
    """A running server with what was written into it before."""

    port: int
    pid: int

    def minutes(self, expression: str, from_minute: int, until_minute: int) -> set[int]:
        """The minutes at whose end the expression has a value. Asks for a week at a time: a server answers 11,000 points."""
        found: set[int] = set()
        for first in range(from_minute, until_minute, 10_000):
            last = min(first + 10_000, until_minute) - 1
            ends = {"start": (first + 1) * 60, "end": (last + 1) * 60, "step": 60}
            for series in self._ask("query_range", {"query": expression, **ends}):
                found.update(int(at_s) // 60 - 1 for at_s, _ in series["values"])
        return found

    def value(self, expression: str) -> float | None:
        """What the expression is now; None: it has no single value."""
        found = self._ask("query", {"query": expression})
        return float(found[0]["value"][1]) if len(found) == 1 else None  # type: ignore[arg-type] # a pair, of one instant

    def _ask(self, what: str, question: Mapping[str, object]) -> list[dict[str, list[tuple[float, str]]]]:
        result: list[dict[str, list[tuple[float, str]]]] = self.data(what, question)["result"]
        return result

    def data(self, what: str, question: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON of many forms
        """What its API answers to a question, or to none."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            if question is None:
                connection.request("GET", f"/api/v1/{what}")
            else:
                connection.request("POST", f"/api/v1/{what}", urlencode(question), form)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["status"] == "success", answer
        return answer["data"]


@contextmanager
def prometheus_server(folder: Path, history: History, port: int) -> Iterator[PrometheusServer]:
    """A server that holds a history's counters, backfilled; stopped by its pid."""
    promtool = need("promtool")
    text = folder / "counters.txt"
    _write_openmetrics(text, history)
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "-q", str(text), str(folder / "data")]
    subprocess.run(command, check=True, timeout=300, capture_output=True, stdin=subprocess.DEVNULL)
    with running_prometheus(folder, port, "scrape_configs: []\n") as server:
        yield server


@contextmanager
def running_prometheus(folder: Path, port: int, config: str, *more: str) -> Iterator[PrometheusServer]:
    """A server with this configuration and these further options; stopped by its pid."""
    program = need("prometheus")
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    options = {
        "--config.file": folder / "prometheus.yml",
        "--storage.tsdb.path": folder / "data",
        "--storage.tsdb.retention.time": "100y",
        "--web.listen-address": f"127.0.0.1:{port}",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, *(f"{name}={value}" for name, value in options.items()), *more],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        _wait_until_ready(port, server, folder / "log")
        yield PrometheusServer(port, server.pid)
    finally:
        server.terminate()
        try:
            server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(STOP_TIMEOUT_S)


def _write_openmetrics(file: Path, history: History) -> None:
    with file.open("w", encoding="utf-8") as out:
        series = counters(history)
        family = next(iter(series)).partition("_total")[0]
        out.write(f"# TYPE {family} counter\n")
        for name, values in series.items():
            for place, value in enumerate(values):
                out.write(f"{name} {value} {(history.span.from_minute + place) * 60}\n")
        out.write("# EOF\n")


def _wait_until_ready(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_s and server.poll() is None:
        with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection, suppress(OSError, HTTPException):
            connection.request("GET", "/-/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise TimeoutError(f"Prometheus did not start: {log.read_text(errors='replace')[-2000:]}")
