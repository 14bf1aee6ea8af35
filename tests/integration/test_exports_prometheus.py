"""Prometheus over what we export: it scrapes the real endpoint, and the published rules fire and resolve at our own minutes."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from collector.alert_log import LineAlerts, alerts_of
from collector.exports.metrics import Metrics, MetricsSource
from collector.score_reader import Asked
from collector.score_upkeep import ScoreUpkeep
from collector.store import open_store
from probes.health import Health, open_health
from slo.burn import Cause, SliceHistory
from slo.objective_set import ObjectiveSet
from slo.prometheus_rules import rule_group
from slo.window import Span, minute_of
from tests.exports_kit import FLEET, OPENMETRICS, Lines, built_in, metrics_over, scrape
from tests.prometheus_kit import (
    ALERTS,
    OBJECTIVE,
    PrometheusServer,
    firing_minutes,
    judge_with_promtool,
    running_prometheus,
)
from tests.report_kit import MORNING, REGIONS, morning_of

HOURS = """
[[statement]]
minutes = [[20, 32], [40, 41], [50, 62]]
what = "fail"
[[statement]]
minutes = [[70, 103]]
what = "inconclusive"
regions = ["eu-west", "us-east"]
[[statement]]
minutes = [[112, 115]]
what = "missing"
"""
AND_THEN = """
[[statement]]
minutes = [[300, 302], [400, 440], [500, 501], [520, 521], [540, 580]]
what = "fail"
"""
SHORT, LONG = 125, 600
DEADLINE_S = 60.0


def one_line(name: str) -> ObjectiveSet:
    """One line alone, called as the kit's rules call theirs."""
    known = built_in()
    line = replace(known.objectives[name][-1], name=OBJECTIVE)
    return ObjectiveSet(objectives={OBJECTIVE: (line,)}, presets=known.presets)


def asked(now: datetime) -> Asked:
    """The made-up fleet, now."""
    return Asked("simulated", FLEET, REGIONS, now)


@dataclass
class Exported:
    """The counters of a line minute by minute, as they were scraped, and our own alerts over the same minutes."""

    span: Span
    series: dict[str, list[int]] = field(default_factory=dict)
    ours: LineAlerts | None = None


async def exported(folder: Path, known: ObjectiveSet, minutes: int, statements: str) -> Exported:
    """Scrape at each minute at which one has settled, from the fleet's first on."""
    span = Span("hours", MORNING.from_minute, MORNING.from_minute + minutes)
    found = Exported(span)
    async with metrics_over(folder / "some.db", span.from_at + timedelta(seconds=31), known=known) as watched:
        await watched.store.file(morning_of(folder, statements, span))
        for _ in range(minutes + 1):
            await watched.metrics._upkeep.look()
            watched.metrics._upkeep.is_ready.set()
            for line in (await watched.metrics.answer({})).body.decode().splitlines():
                if line.startswith(("fleet_slices_total", "fleet_events_total")):
                    key, _, value = line.rpartition(" ")
                    found.series.setdefault(key, []).append(int(float(value)))
            watched.clock.advance(60)
        (found.ours,) = await alerts_of(watched.store, known, asked(span.until_at + timedelta(seconds=40)))
    return found


@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("api-uptime", SHORT),
        ("api-errors", SHORT),
        pytest.param("api-uptime", LONG, marks=pytest.mark.slow),
        pytest.param("api-p99", LONG, marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(900)
async def test_rules_over_scraped_counters_fire_at_our_own_minutes(name: str, minutes: int, tmp_path: Path) -> None:
    """For minutes and for events: every border of every tier, and how many minutes lie between them."""
    statements = HOURS if minutes == SHORT else f"{HOURS}{AND_THEN}"
    found = await exported(tmp_path, one_line(name), minutes, statements)
    assert found.ours is not None
    fits = [tier.fit for tier in found.ours.tiers]
    group = rule_group(OBJECTIVE, fits)
    fires = [
        (tier.fit, tier.episodes) for tier in found.ours.tiers if tier.fit.is_usable and tier.fit not in group.left_out
    ]
    assert any(one.cause is Cause.BURN for _, episodes in fires for one in episodes)
    assert {len(values) for values in found.series.values()} == {minutes + 1}
    assert all(values[0] == 0 for values in found.series.values())
    judge_with_promtool(tmp_path, group.content, SliceHistory(found.span, 0, 0), fires, found.series)


def config_for(url: str, rules: Path, every: str) -> str:
    """A server that scrapes our page and evaluates our rules, both that often."""
    often = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    job = {"job_name": "fleet", "static_configs": [{"targets": [url.removeprefix("http://")]}]}
    return json.dumps({"global": often, "rule_files": [str(rules)], "scrape_configs": [job]})  # JSON is YAML


class FastClock:
    """Goes so many times faster than everybody's."""

    def __init__(self, now: datetime, *, times: int) -> None:
        self._began_at, self._began_s, self._times = now, monotonic(), times

    def now(self) -> datetime:
        """The instant that has been reached."""
        return self._began_at + timedelta(seconds=(monotonic() - self._began_s) * self._times)

    def monotonic_ns(self) -> int:
        """The nanosecond that has been reached."""
        return round(monotonic() * self._times * 1e9)

    async def sleep(self, duration_s: float) -> None:
        """So much of its own time."""
        await asyncio.sleep(duration_s / self._times)


async def test_a_real_prometheus_scrapes_the_endpoint_and_takes_the_rules(tmp_path: Path, free_port: int) -> None:
    """The very numbers, typed as counters and histograms; exemplars lead to traces; no rule has an error."""
    known = one_line("api-uptime")
    rules = tmp_path / "rules.json"
    async with metrics_over(tmp_path / "some.db", MORNING.until_at + timedelta(seconds=31), known=known) as watched:
        await watched.store.file(morning_of(tmp_path, HOURS))
        page = await watched.look(closely=True)
        opened = await scrape(watched.metrics, OPENMETRICS)
        (ours,) = await alerts_of(watched.store, known, asked(watched.clock.now()))
        group = rule_group(OBJECTIVE, [tier.fit for tier in ours.tiers]).content
        rules.write_text(json.dumps({"groups": [{**group, "interval": "1s"}]}), encoding="utf-8")
        health = Health(lambda: True, dict, {"/metrics": watched.metrics.answer})
        async with open_health("127.0.0.1:0", health) as url:
            more = ("--enable-feature=exemplar-storage",)
            with running_prometheus(tmp_path, free_port, config_for(url, rules, "1s"), *more) as server:
                bad = page.value("fleet_slices_total", objective=OBJECTIVE, state="bad")
                await until_value(server, f'fleet_slices_total{{objective="{OBJECTIVE}",state="bad"}}', bad)
                await until_value(server, f'objective:fleet_slices_bad:increase60m{{objective="{OBJECTIVE}"}}', bad)
                await until_value(server, 'up{job="fleet"}', 1)
                types = await asyncio.to_thread(server.data, "metadata")
                question = {"query": "fleet_step_duration_seconds_bucket", "start": 0, "end": 4_000_000_000}
                exemplars = await asyncio.to_thread(server.data, "query_exemplars", question)
                healths = await healths_of_rules(server)
    kinds = {name: found[0]["type"] for name, found in types.items()}
    assert kinds["fleet_slices_total" if "fleet_slices_total" in kinds else "fleet_slices"] == "counter"
    assert kinds["fleet_step_duration_seconds"] == "histogram"
    assert healths == {"ok"}
    found = {one["labels"]["trace_id"] for series in exemplars for one in series["exemplars"]}
    assert found
    assert all(f'trace_id="{trace_id}"' in opened.text for trace_id in found)


async def healths_of_rules(server: PrometheusServer) -> set[str]:
    """What the server says of its rules once each was evaluated."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            groups = (await asyncio.to_thread(server.data, "rules"))["groups"]
            healths = {str(rule["health"]) for one in groups for rule in one["rules"]}
            if "unknown" not in healths:
                return healths
            await asyncio.sleep(0.2)


async def until_value(server: PrometheusServer, expression: str, value: float | None) -> None:
    """Ask until the server has it."""
    async with asyncio.timeout(DEADLINE_S):
        while await asyncio.to_thread(server.value, expression) != value:  # noqa: ASYNC110 - it is another process that knows
            await asyncio.sleep(0.2)


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(600)
async def test_a_fast_fleet_rings_at_the_same_minutes_in_a_real_prometheus(tmp_path: Path, free_port: int) -> None:
    """A minute of it is two seconds of ours: hours of alerts, scraped as they come, within a minute of what our engine says."""
    known, minutes = one_line("api-uptime"), 100
    span = Span("hours", MORNING.from_minute, MORNING.from_minute + minutes)
    rules = tmp_path / "rules.json"
    clock = FastClock(span.from_at, times=30)
    async with open_store(str(tmp_path / "some.db")) as store:
        await ScoreUpkeep(store, Lines(known), fleet=FLEET, regions=REGIONS, clock=clock).begin()
        await store.file(morning_of(tmp_path, HOURS, span))
        metrics = Metrics(store, Lines(known), MetricsSource(FLEET, "one", REGIONS), clock=clock)
        (ours,) = await alerts_of(store, known, asked(span.until_at + timedelta(seconds=40)))
        group = rule_group(OBJECTIVE, [tier.fit for tier in ours.tiers]).content
        text = re.sub(r"offset (\d+)m", lambda found: f"offset {int(found[1]) * 2}s", json.dumps(group))
        rules.write_text(json.dumps({"groups": [{**json.loads(text), "interval": "500ms"}]}), encoding="utf-8")
        running = asyncio.create_task(metrics.run())
        health = Health(lambda: True, dict, {"/metrics": metrics.answer})
        async with open_health("127.0.0.1:0", health) as url:
            with running_prometheus(tmp_path, free_port, config_for(url, rules, "500ms")) as server:
                rang: dict[str, set[int]] = {}
                while (now := clock.now()) < span.until_at:
                    for alert in (await asyncio.to_thread(server.data, "alerts"))["alerts"]:
                        if alert["labels"]["alertname"] == ALERTS[Cause.BURN]:
                            rang.setdefault(alert["labels"]["severity"], set()).add(minute_of(now) - 1)
                    await asyncio.sleep(0.25)
        running.cancel()
        await asyncio.wait({running})
    fires = [(tier.fit, tier.episodes) for tier in ours.tiers]
    assert rang.keys() >= {"critical", "high"}
    for severity in ("critical", "high"):
        wanted = firing_minutes(fires, Cause.BURN, severity, span.until_minute - 3)
        near = {minute + more for minute in wanted for more in (0, 1, 2, 3)}
        assert rang[severity] - near == set()
        assert all(rang[severity] & {minute + more for more in (0, 1, 2, 3)} for minute in wanted)
