"""The real collector passes on what a probe sent it, serves `/metrics`, and says honestly which extra is missing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from probes.messages import render_batch
from probes.mqtt import open_client
from probes.outbox import Entry, EntryKind
from probes.records import FailureKind
from probes.wire import render_run
from tests.broker_kit import PROBES, Broker, Iotcore, running
from tests.collector_kit import CollectorProcess, running_collector
from tests.exports_kit import Receiver, receiver
from tests.free_ports import free_port
from tests.sample_runs import make_step
from tests.store_kit import EPOCH, run_at

PROBE = PROBES[0]
ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def broker() -> Iterator[Broker]:
    """The embedded one."""
    with running(Iotcore()) as started:
        yield started


def metrics(collector: CollectorProcess) -> str:
    """The page as text; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{collector.health_port}/metrics", timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code}: {error.read().decode()}"
    except OSError:
        return ""


def shows(collector: CollectorProcess, line: str) -> bool:
    """Whether the page has it."""
    return line in metrics(collector)


async def send(broker: Broker) -> None:
    """A run that passed and one that failed, of this minute."""
    now = datetime.now(UTC).replace(microsecond=0)
    passed = run_at(now - timedelta(seconds=20), probe=PROBE, number=1)
    broken = run_at(now - timedelta(seconds=5), probe=PROBE, number=2)
    step = make_step("price", kind=FailureKind.ASSERTION, message="the price is 0")
    broken = replace(
        broken, steps=(step,), outcome=step.outcome, failure=step.failure, failed_step="price", trace_id="ab" * 16
    )
    passed = replace(passed, trace_id="cd" * 16)
    entries = [Entry(seq, EntryKind.RUN, now, render_run(run)) for seq, run in ((1, passed), (2, broken))]
    async with open_client(broker.as_probe(PROBE), client_id="probe") as client:
        await client.publish_soon(PROBE.topic("results"), render_batch(PROBE, EPOCH, entries))


def everything_to(there: Receiver) -> dict[str, str]:
    """The settings that pass all runs on to one receiver."""
    return {
        "PROBE_FLEET_EXPORTS_OTLP_URL": f"{there.url}/v1/traces",
        "PROBE_FLEET_EXPORTS_SENTRY": "dsn",
        "PROBE_FLEET_EXPORTS_POSTHOG_URL": there.url,
        "PROBE_FLEET_EXPORTS_POSTHOG": "key",
        "SENTRY_DSN_OF_TEST": there.url.replace("//", f"//{KEY}@") + "/7",
        "POSTHOG_KEY_OF_TEST": "phc_key",
    }


async def test_what_a_probe_sends_arrives_everywhere_and_no_secret_is_said(broker: Broker, tmp_path: Path) -> None:
    """Traces, issues, check-ins and events of the two runs; `/metrics` says what was passed on."""
    more = '[secrets.dsn]\nenv = "SENTRY_DSN_OF_TEST"\n[secrets.key]\nenv = "POSTHOG_KEY_OF_TEST"\n'
    with (
        receiver() as there,
        running_collector(tmp_path / "one", broker, environ=everything_to(there), more=more) as collector,
    ):
        await send(broker)
        want = {"/v1/traces": 1, "/api/7/envelope/": 3, "/batch/": 1}
        await asyncio.to_thread(collector.wait_for, lambda: paths(there).items() >= want.items(), "all three exports")
        for shown in (
            'fleet_export_runs_total{export="sentry",result="sent"} 2',
            f'fleet_probe_entries_total{{probe="{PROBE.probe}",region="{PROBE.region}"}} 2.0',
            'fleet_runs_total{attempt="first",outcome="fail",region="eu-west",scenario="quote"} 1.0',
            "fleet_ingest_connected 1.0",
        ):
            await asyncio.to_thread(collector.wait_for, partial(shows, collector, shown), shown)
        page = metrics(collector)
        said = collector.said() + page + str(collector.health())
        assert collector.stop() == 0
    assert KEY not in said
    assert "phc_key" not in said
    traces = [one.body for one in there.taken if one.path == "/v1/traces"]
    spans = [
        span
        for body in traces
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for span in of_resource.scope_spans[0].spans
    ]
    assert {span.trace_id.hex() for span in spans} == {"ab" * 16, "cd" * 16}


def paths(there: Receiver) -> dict[str, int]:
    """How many requests each path took."""
    found: dict[str, int] = {}
    for one in there.taken:
        found[one.path] = found.get(one.path, 0) + 1
    return found


def without(folder: Path, package: str) -> dict[str, str]:
    """An environment in which a package is not installed."""
    (folder / f"{package}.py").write_text(f"raise ModuleNotFoundError({package!r}, name={package!r})\n")
    return {"PYTHONPATH": str(folder)}


async def test_without_its_extra_the_page_says_what_to_install(broker: Broker, tmp_path: Path) -> None:
    """The collector collects; nobody asked for metrics by name."""
    missing = tmp_path / "missing"
    missing.mkdir()
    with running_collector(tmp_path / "one", broker, environ=without(missing, "prometheus_client")) as collector:
        told = metrics(collector)
        assert collector.is_ready()
    assert told.startswith("501: ")
    assert "pip install 'probe-fleet[prometheus]'" in told
    assert "probe-fleet[prometheus]" in collector.said()


@pytest.mark.parametrize(
    ("package", "extra", "setting"),
    [
        ("opentelemetry", "otel", ("PROBE_FLEET_EXPORTS_OTLP_URL", "http://127.0.0.1:4318/v1/traces")),
        ("sentry_sdk", "sentry", ("PROBE_FLEET_EXPORTS_SENTRY", "broker")),
        ("posthog", "posthog", ("PROBE_FLEET_EXPORTS_POSTHOG", "broker")),
    ],
)
def test_an_export_that_is_asked_for_and_cannot_be_done_is_an_error_before_anything_begins(
    package: str, extra: str, setting: tuple[str, str], tmp_path: Path
) -> None:
    """Exit code 2, the setting and the extra named."""
    settings = tmp_path / "fleet.toml"
    settings.write_text('[exports]\nposthog_url = "http://127.0.0.1:9"\n[secrets.broker]\nenv = "SOME_SECRET"\n')
    environ = {
        **os.environ,
        **without(tmp_path, package),
        setting[0]: setting[1],
        "SOME_SECRET": "a-secret-value",
        "PROBE_FLEET_BROKER_PORT": str(free_port()),
        "PROBE_FLEET_COLLECTOR_HEALTH": "",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    words = ("collector", "--settings", str(settings), "--for", "1s")
    told = subprocess.run(
        [sys.executable, "runner.py", *words], cwd=ROOT, env=environ, capture_output=True, timeout=60, check=False
    )
    said = told.stderr.decode() + told.stdout.decode()
    assert told.returncode == 2, said
    assert f"probe-fleet[{extra}]" in " ".join(said.split())
    assert "a-secret-value" not in said
