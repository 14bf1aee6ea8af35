"""`/metrics`: clean for promtool, true to the cells, the same after a restart, bounded and unbroken by names."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collector.exports.labels import OTHER
from collector.exports.line_counts import KEPT_AFTER_DAYS, KEPT_AT_ONCE_DAYS
from collector.exports.metric_catalog import CATALOG
from collector.exports.run_counts import MOST_REGIONS, MOST_SCENARIOS
from collector.exports.run_times import MOST_STEPS
from collector.score_reader import render_maintenance
from collector.simulation import PROBE as SIMULATED
from collector.simulation import deliveries_of, slots_of
from collector.simulation_plan import read_plan
from collector.store import Delivery, Retention, open_store
from probes.ledger_entries import FitnessMinute
from probes.messages import Address
from probes.outbox import EntryKind
from probes.records import FailureKind, Outcome, Run, RunIdentity, Step
from slo.maintenance import MaintenanceWindow
from slo.window import MINUTES_PER_DAY, Span, minute_of
from tests.exports_kit import FLEET, OPENMETRICS, Scraped, metrics_over, scrape
from tests.prometheus_kit import need
from tests.report_kit import MINUTES, MORNING, morning_of
from tests.sample_runs import MS, make_exchange, make_run, make_step
from tests.store_kit import deliver, other_entry, run_entry
from tests.web_kit import READ, open_site

AT_ITS_END = MORNING.until_at + timedelta(seconds=30)
"""The morning's last minute has just settled, and no later one has."""
TROUBLE = """
[[statement]]
minutes = [[10, 25]]
what = "fail"
[[statement]]
minutes = [[40, 50]]
what = "inconclusive"
"""
STATES = ("good", "bad", "unknown", "excluded")
NASTY = 'a"b\\c\nfleet_runs_total{scenario="lie"} 9\n# EOF\n\u2028\u202e\U0001f600'


def is_clean(page: Scraped) -> bool:
    """Whether promtool finds nothing to say about it."""
    checked = subprocess.run(
        [need("promtool"), "check", "metrics"], input=page.text.encode(), capture_output=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return True


def slices_of(page: Scraped, line: str = "api-uptime") -> dict[str, float | None]:
    """The four counters of a line of minutes."""
    return {state: page.value("fleet_slices_total", objective=line, state=state) for state in STATES}


def run_of(*steps: Step, at: datetime, number: int, scenario: str = "api-health", attempt: int = 0) -> Run:
    """A run of the made-up fleet."""
    run = make_run(*steps, scenario=scenario, number=number)
    identity = RunIdentity(FLEET, "eu-west", SIMULATED, scenario, at, attempt)
    return replace(
        run, identity=identity, target="simulated", scheduled_at=at, started_at=at, trace_id=f"{number:032x}"
    )


def delivered(runs: Sequence[Run], *, region: str = "eu-west", first_seq: int = 100_000) -> Delivery:
    """These runs as one message of a probe of the made-up fleet."""
    probe = Address(FLEET, region, SIMULATED)
    moved = [replace(run, identity=replace(run.identity, region=region)) for run in runs]
    return deliver([run_entry(run) for run in moved], probe=probe, first_seq=first_seq, received_at=AT_ITS_END)


async def test_the_page_is_clean_and_holds_catalogued_metrics_only(tmp_path: Path) -> None:
    """Nothing for promtool to say, over a fleet with failures, silence, alerts and strange names."""
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        await watched.store.file(morning_of(tmp_path, TROUBLE))
        strange = run_of(
            make_step(NASTY, 9 * MS, exchanges=(make_exchange(),)), at=MORNING.from_at, number=7, attempt=1
        )
        await watched.store.file([delivered([strange])])
        page = await watched.look(closely=True)
    assert is_clean(page)
    names = {name for name, _ in page.samples}
    stems = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in names}
    assert stems <= CATALOG.keys()
    assert {"fleet_burn_rate_ratio", "fleet_coverage_ratio", "fleet_probe_entries_total"} <= stems
    assert page.value("fleet_error_budget_remaining_ratio", objective="api-uptime") is not None


async def test_slices_and_events_are_what_the_cells_decide(tmp_path: Path) -> None:
    """Fifteen failed minutes and ten in which no host was fit, out of two hours of a minute's slots in three regions."""
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        await watched.store.file(morning_of(tmp_path, TROUBLE))
        page = await watched.look()
    assert slices_of(page) == {"good": MINUTES - 25, "bad": 15, "unknown": 10, "excluded": 0}
    assert page.value("fleet_counted_until_timestamp_seconds") == MORNING.until_minute * 60
    bad = page.value("fleet_events_total", objective="api-errors", outcome="bad")
    good = page.value("fleet_events_total", objective="api-errors", outcome="good")
    # A run that passes asks the API twice, one that fails ends at its first request, an inconclusive one counts for nothing.
    assert (good, bad) == (2 * (MINUTES - 25) * 3, 15 * 3)


async def test_a_restart_changes_no_counter_and_later_minutes_add(tmp_path: Path) -> None:
    """What is counted is in the database: another process, or another collector beside it, shows the same numbers."""
    path = tmp_path / "some.db"
    half = MORNING.from_minute + MINUTES // 2
    early = morning_of(tmp_path, TROUBLE, Span("early", MORNING.from_minute, half))
    late = morning_of(tmp_path, "", Span("late", half, MORNING.until_minute))
    async with metrics_over(path, AT_ITS_END - timedelta(minutes=60)) as watched:
        await watched.store.file(early)
        first = await watched.look()
    async with metrics_over(path, AT_ITS_END - timedelta(minutes=60)) as watched:
        again = await watched.look()
        assert lines_of(again) == lines_of(first) != {}
        await watched.store.file([*early, *late])
        watched.clock.advance(3600)
        later = await watched.look()
    assert all(value >= lines_of(first)[series] for series, value in lines_of(later).items())
    assert slices_of(first) == {"good": 35, "bad": 15, "unknown": 10, "excluded": 0}
    assert slices_of(later) == {"good": 95, "bad": 15, "unknown": 10, "excluded": 0}
    assert set(later.series("fleet_objective_resets_total").values()) == {0}


def lines_of(page: Scraped) -> dict[tuple[str, ...], float]:
    """All counters of lines but those of minutes that nobody spoke in."""
    both = {**page.series("fleet_slices_total"), **page.series("fleet_events_total")}
    return {series: value for series, value in both.items() if "unknown" not in series}


async def test_late_results_add_and_a_count_that_shrinks_is_a_reset_that_is_said(tmp_path: Path) -> None:
    """Regions that were cut off send their hours: unknown minutes become good ones, and nothing else is counted twice."""
    deliveries = morning_of(tmp_path)
    alone = [one for one in deliveries if "/eu-west/" in one.topic]
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        await watched.store.file(alone)
        before = await watched.look()
        assert slices_of(before) == {"good": 0, "bad": 0, "unknown": MINUTES, "excluded": 0}
        await watched.store.file(deliveries)
        assert slices_of(await watched.look()) == slices_of(before), "not for each that comes while a fleet catches up"
        watched.clock.advance(25)
        after = await watched.look()
    assert slices_of(after) == {"good": MINUTES, "bad": 0, "unknown": 0, "excluded": 0}
    assert after.value("fleet_objective_resets_total", objective="api-uptime") == 1
    assert after.value("fleet_objective_resets_total", objective="api-errors") == 0
    events = {line: after.value("fleet_events_total", objective=line, outcome="good") for line in ("api-errors",)}
    assert events["api-errors"] == 3 * (before.value("fleet_events_total", objective="api-errors", outcome="good") or 0)


async def test_maintenance_and_unfit_hosts_take_minutes_and_events_out(tmp_path: Path) -> None:
    """Announced works are excluded minutes; what an unfit host saw says nothing, also when the word comes later."""
    works = MaintenanceWindow(
        "works", MORNING.from_at + timedelta(minutes=60), 30, announced_at=MORNING.from_at - timedelta(days=3)
    )
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        await watched.store.file(morning_of(tmp_path))
        before = await watched.look()
        await watched.store.scores.add_maintenance("works", render_maintenance(works), now=MORNING.from_at)
        unfit = [
            other_entry(
                EntryKind.FITNESS, FitnessMinute(minute_at=MORNING.from_at + timedelta(minutes=5), reasons=["busy"])
            )
        ]
        probe = Address(FLEET, "eu-west", SIMULATED)
        late = run_of(make_step("api-health", exchanges=(make_exchange(),)), at=MORNING.from_at, number=3, attempt=1)
        await watched.store.file([deliver([*unfit, run_entry(late)], probe=probe, first_seq=50_000)])
        watched.clock.advance(28)
        after = await watched.look()
    assert slices_of(after) == {"good": MINUTES - 30, "bad": 0, "unknown": 0, "excluded": 30}
    good = [page.value("fleet_events_total", objective="api-errors", outcome="good") or 0 for page in (before, after)]
    assert good[0] - good[1] == 30 * 2 * 3 + 2, "two requests of each region's run, and those of one unfit minute"


async def test_counters_outlive_the_cells_that_they_were_counted_from(tmp_path: Path) -> None:
    """Retention deletes old days; what they held stays counted, in every later process."""
    days, kept_days = 60, KEPT_AFTER_DAYS + KEPT_AT_ONCE_DAYS + 3
    span = Span("autumn", MORNING.from_minute, MORNING.from_minute + days * MINUTES_PER_DAY)
    plan = tmp_path / "plan.toml"
    plan.write_text('regions = ["ap-south", "eu-west", "us-east"]\n[journeys]\napi-health = "2h"\n', encoding="utf-8")
    path = tmp_path / "some.db"
    async with metrics_over(path, span.until_at + timedelta(seconds=30)) as watched:
        await watched.store.file(list(deliveries_of(read_plan(plan), span)))
        first = await watched.look()
        retention = Retention(timedelta(days=kept_days), keeps_two_months=False)
        while (await watched.store.prune(retention, now=watched.clock.now())).has_more:
            pass
    async with metrics_over(path, span.until_at + timedelta(seconds=30)) as watched:
        again = await watched.look()
    whole = slices_of(first)
    first_word = minute_of(next(slots_of(read_plan(plan), span)).slot_at)
    assert sum(value or 0 for value in whole.values()) == span.until_minute - first_word, "every minute is one of four"
    assert first.value("fleet_events_total", objective="api-errors", outcome="good") == days * 12 * 3 * 2
    assert slices_of(again) == whole
    assert again.series("fleet_events_total") == first.series("fleet_events_total")


async def test_repeats_are_labelled_and_inconclusive_runs_are_no_failures(tmp_path: Path) -> None:
    """Only first attempts that said something are times; a run that is our own fault has an outcome and no kind of failure."""
    at = MORNING.from_at
    passed = make_step("ask", 40 * MS, exchanges=(make_exchange(),))
    ours = make_step("ask", 10 * MS, kind=FailureKind.INTERNAL)
    unfit = replace(
        run_of(make_step("ask", kind=FailureKind.TIMEOUT), at=at, number=4, scenario="unfit"),
        outcome=Outcome.INCONCLUSIVE,
    )
    runs = [
        run_of(passed, at=at, number=1, scenario="good"),
        run_of(make_step("ask", kind=FailureKind.DNS), at=at, number=2, scenario="bad"),
        run_of(make_step("ask", kind=FailureKind.DNS), at=at, number=3, scenario="bad", attempt=1),
        unfit,
        run_of(ours, at=at, number=5, scenario="ours"),
    ]
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        await watched.store.file([delivered(runs)])
        await watched.store.file([delivered(runs)])
        page = await watched.look()
    assert page.series("fleet_runs_total") == {
        ("first", "pass", "eu-west", "good"): 1,
        ("first", "fail", "eu-west", "bad"): 1,
        ("repeat", "fail", "eu-west", "bad"): 1,
        ("first", "inconclusive", "eu-west", "unfit"): 1,
        ("first", "inconclusive", "eu-west", "ours"): 1,
    }
    assert page.series("fleet_run_failures_total") == {("dns", "eu-west", "bad"): 2}
    assert page.series("fleet_step_duration_seconds_count") == {("eu-west", "good", "ask"): 1}
    assert (
        page.value("fleet_step_duration_seconds_bucket", region="eu-west", scenario="good", step="ask", le="0.05") == 1
    )
    assert (
        page.value("fleet_step_duration_seconds_bucket", region="eu-west", scenario="good", step="ask", le="0.02") == 0
    )
    phases = {key[0] for key in page.series("fleet_http_phase_duration_seconds_count")}
    assert phases == {"queue", "connect", "send", "wait", "receive"}, (
        "a request that looked nothing up has no time for it"
    )


async def test_hostile_names_stay_inside_their_labels(tmp_path: Path) -> None:
    """Quotes, backslashes, line ends, a false end of file, right-to-left marks: a scraper reads the very name."""
    step = make_step(NASTY, 9 * MS, exchanges=(make_exchange(),))
    long = make_step("x" * 5_000, 9 * MS)
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        await watched.store.file([delivered([run_of(step, long, at=MORNING.from_at, number=1)])])
        page = await watched.look()
        opened = await scrape(watched.metrics, OPENMETRICS)
    found = {key[2] for key in page.series("fleet_step_duration_seconds_count")}
    assert found == {NASTY, "x" * 100}
    assert page.value("fleet_runs_total", scenario="lie") is None
    assert is_clean(page)
    assert opened.text.count("\n# EOF") == 1
    assert opened.text.endswith("\n# EOF\n")


async def test_cardinality_is_bounded_whatever_probes_invent(tmp_path: Path) -> None:
    """Hundreds of scenarios, steps and regions become `other`; configured regions and scenarios keep their own label."""
    at = MORNING.from_at
    invented = [
        run_of(make_step(f"step-{number}", 9 * MS), at=at, number=number, scenario=f"s-{number % 400}")
        for number in range(600)
    ]
    distinct = {run.identity.scenario: run for run in invented}
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        await watched.store.file([delivered(list(distinct.values()))])
        ask = make_step("ask")
        crowd = [
            delivered([run_of(ask, at=at, number=number, scenario="s-1")], region=f"r-{number}")
            for number in range(MOST_REGIONS + 20)
        ]
        known = delivered([run_of(ask, at=at, number=1)], region="us-east")
        await watched.store.file([*crowd, known])
        page = await watched.look(closely=True)
    runs = page.series("fleet_runs_total")
    assert len({key[3] for key in runs} - {OTHER}) <= MOST_SCENARIOS
    assert len({key[2] for key in runs} - {OTHER}) <= MOST_REGIONS
    assert len({key[2] for key in page.series("fleet_step_duration_seconds_count")} - {OTHER}) <= MOST_STEPS
    assert sum(runs.values()) == len(distinct) + MOST_REGIONS + 21, "none is lost in the crowd"
    assert any(key[2:] == ("us-east", OTHER) or key[2:] == ("us-east", "api-health") for key in runs)
    assert OTHER in {key[1] for key in page.series("fleet_probe_entries_total")}
    assert max(Counter(name for name, _ in page.samples).values()) < 20_000


async def test_exemplars_carry_the_traces_where_the_scraper_takes_them(tmp_path: Path) -> None:
    """OpenMetrics only: the classic format has no place for them."""
    run = run_of(make_step("ask", 40 * MS), at=MORNING.from_at, number=0xABC)
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        await watched.store.file([delivered([run])])
        classic = await watched.look()
        opened = await scrape(watched.metrics, OPENMETRICS)
    assert f'# {{trace_id="{0xABC:032x}"}} 0.04 {MORNING.from_at.timestamp()}' in opened.text
    assert "trace_id" not in classic.text


async def test_scrapes_share_one_text_for_two_seconds(tmp_path: Path) -> None:
    """However many scrape: what they cost does not grow with them."""
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        first = await watched.look()
        await watched.store.file([delivered([run_of(make_step("ask"), at=MORNING.from_at, number=1)])])
        assert {(await scrape(watched.metrics)).text for _ in range(50)} == {first.text}
        watched.clock.advance(3)
        assert (await scrape(watched.metrics)).series("fleet_runs_total") != first.series("fleet_runs_total")


async def test_a_text_that_takes_long_is_made_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth of a core, however often a page of that size is asked for."""
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        pieces = watched.metrics._pieces

        def slowly(*, is_open: bool) -> Iterator[bytes]:
            until_s = time.thread_time() + 0.25
            while time.thread_time() < until_s:
                pass
            yield from pieces(is_open=is_open)

        monkeypatch.setattr(watched.metrics, "_pieces", slowly)
        first = await watched.look()
        await watched.store.file([delivered([run_of(make_step("ask"), at=MORNING.from_at, number=1)])])
        watched.clock.advance(3)
        assert (await scrape(watched.metrics)).text == first.text
        watched.clock.advance(30)
        assert (await scrape(watched.metrics)).text != first.text


async def test_a_line_whose_past_is_not_scored_yet_has_no_counter(tmp_path: Path) -> None:
    """Half a count would look like a month of silence, and then like a flood."""
    path = tmp_path / "some.db"
    async with open_store(str(path)) as store:
        await store.file(morning_of(tmp_path))
    async with metrics_over(path, AT_ITS_END) as watched:
        page = await watched.look()
        assert page.series("fleet_slices_total") == {}
        assert page.value("fleet_probe_entries_total", region="eu-west", probe=SIMULATED) == MINUTES + 1


@pytest.mark.parametrize(
    "status", ["", "[1]", "{", '{"outbox": {"entries": "many", "body_bytes": 1e300, "oldest_at": 3}}']
)
async def test_what_a_probe_says_of_itself_is_a_number_or_nothing(tmp_path: Path, status: str) -> None:
    """A probe may say anything; the page stays well."""
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        probe = Address(FLEET, "eu-west", SIMULATED)
        await watched.store.note_status(probe, status.encode(), AT_ITS_END)
        page = await watched.look()
        assert page.series("fleet_probe_outbox_entries") == {}
        await watched.store.note_status(
            probe, b'{"outbox": {"entries": 7}, "clock": {"offset_ns": -2000000000}}', AT_ITS_END
        )
        told = await watched.look()
    assert told.value("fleet_probe_outbox_entries", region="eu-west", probe=SIMULATED) == 7
    assert told.value("fleet_probe_clock_offset_seconds", region="eu-west", probe=SIMULATED) == -2
    heard = page.value("fleet_probe_last_seen_timestamp_seconds", region="eu-west", probe=SIMULATED)
    assert heard == AT_ITS_END.timestamp()


async def test_the_pages_show_metrics_to_who_may_read(tmp_path: Path) -> None:
    """The same text as the health page's; from another host with a token only."""
    async with metrics_over(tmp_path / "some.db", AT_ITS_END) as watched:
        here = await watched.look()
        async with open_site(tmp_path, metrics=watched.metrics.answer, read_tokens={"reader": READ}) as pages:
            told = await pages.ask("/metrics")
            stranger = await pages.ask("/metrics", host="fleet.example.test")
            reader = {"Authorization": f"Bearer {READ}"}
            scraper = await pages.ask("/metrics", host="fleet.example.test", headers={**reader, "Accept": OPENMETRICS})
        async with open_site(tmp_path) as pages:
            nothing = await pages.ask("/metrics")
    assert (told.status, told.text) == (200, here.text)
    assert told.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert stranger.status in (302, 303, 401, 403)
    assert scraper.status == 200
    assert scraper.headers["Content-Type"].startswith("application/openmetrics-text")
    assert nothing.status == 404
