"""Everything that a probe or a platform can write, as hostile as it gets, on every page in a real browser: it stays text.

A probe is somebody else's host: it may say what it likes in its records, about itself, and in what it sends as evidence.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from collector.alerting.model import AlertFacts, Origin
from collector.scoring import Scorer
from collector.store import Store, open_store
from collector.web.limits import PAGES as PAGE_BUDGET
from probes.records import Evidence, Exchange, Expectation, FailureKind, Fitness, PageLoad, Run, SideEffect
from probes.release_marker import render_release
from tests.alert_kit import open_an_incident
from tests.page_kit import DESK, load, open_browser, open_page
from tests.release_kit import release_at
from tests.sample_runs import MS, make_exchange, make_run, make_step
from tests.store_kit import NOW, OTHER, PROBE, deliver, run_at, run_entry, runs_from
from tests.web_kit import READ, WRITE, QuickClock, ServedApart, open_filled, served_apart, served_over, site_over

browsing = pytest.mark.asyncio(loop_scope="module")

MARK: Final = "owned"
HOSTILE: Final = (
    f'"\'><script>window.{MARK}=1</script><img id="{MARK}" src=x onerror="window.{MARK}=1">'
    f'</title></style></textarea><svg onload="window.{MARK}=1"></svg>{{{{7*7}}}}{{% raw %}}'
    f'<a id="{MARK}" href="javascript:window.{MARK}=1">x</a><base href="//evil.example/"><style>*{{color:red}}</style>'
    "\u202e\x1b[31m\r\nSet-Cookie: a=b"
)
LINKED: Final = f"javascript:window.{MARK}=1//"
ID: Final = "run00099"
DAY: Final = "2026-03-01"
PATHS: Final = (
    "/",
    "/alerts",
    "/alerts/1",
    "/levels/quote-p95",
    "/levels/quote-errors",
    "/runs",
    "/runs?outcome=fail",
    f"/runs/{ID}",
    f"/runs/{quote(HOSTILE[:40], safe='')}",
    "/fleet",
    "/releases",
    f"/releases?target={quote(HOSTILE[:100], safe='')}",
    "/status",
    "/compare?by=announced",
    "/compare?by=region&a=eu-west&b=us-east",
    f"/compare?by=release&a={quote(HOSTILE, safe='')}&b=",
    f"/runs?scenario={quote(HOSTILE, safe='')}&region={quote(HOSTILE, safe='')}",
    f"/nope/{quote(HOSTILE[:100], safe='')}",
    f"/login?next={quote(LINKED, safe='')}",
)
ANSWERS: Final = ("answer.html", "answer.svg", "answer.txt", "answer.png", "answer.json")
ANSWER: Final = f"<html><body><script>window.{MARK}=1</script>{HOSTILE}</body></html>".encode()
LEADS: Final = """[...document.querySelectorAll('[href],[src],[action]')]
.flatMap(one => [one.href, one.src, one.action]).filter(to => typeof to === 'string' && to)"""
"""Where the browser itself says that each element of a page leads."""
WATCH: Final = f"""
window.broken = [];
document.addEventListener('securitypolicyviolation', event => window.broken.push(event.violatedDirective));
window.alert = window.confirm = window.prompt = () => {{ window.{MARK} = 1; }};
"""


FACTS: Final = AlertFacts(
    meaning=HOSTILE,
    scenarios=(HOSTILE,),
    regions=(HOSTILE,),
    step=HOSTILE,
    failure_kind=HOSTILE,
    message=HOSTILE,
    unit="minutes",
    bad=2,
    total=60,
    run_ids=(HOSTILE, LINKED, "../../login"),
)


def hostile_run(number: int = 99, run_id: str = ID) -> Run:
    """A failed run that has the hostile text wherever a record has text."""
    at = NOW + timedelta(minutes=40 + number % 7)
    exchange: Exchange = replace(
        make_exchange(status=500),
        method=HOSTILE,
        url=LINKED + HOSTILE,
        server_address=HOSTILE,
        tls_version=HOSTILE,
    )
    page = PageLoad(LINKED + HOSTILE, ready_ns=5 * MS, failed_requests=(HOSTILE,), uncaught_errors=(HOSTILE,))
    step = replace(
        make_step(
            HOSTILE,
            30 * MS,
            kind=FailureKind.ASSERTION,
            message=HOSTILE,
            exchanges=(exchange,),
            pages=(page,),
            expectations=(Expectation(HOSTILE, HOSTILE, HOSTILE, ok=False),),
        ),
        attributes={HOSTILE: HOSTILE, "cad.part": HOSTILE, "cad.bytes": 7, "backup.day": HOSTILE},
    )
    named = replace(step, name="quote")
    return replace(
        make_run(step, named, number=number),
        identity=run_at(at).identity,
        run_id=run_id,
        trace_id=HOSTILE,
        scenario_version=HOSTILE,
        scheduled_at=at,
        started_at=at,
        target_release=HOSTILE,
        fitness=Fitness(loop_lag_ns=1, steal_ratio=0.5, reasons=()),
        marks=(HOSTILE, LINKED),
        evidence=(
            Evidence(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 3),
            Evidence("screenshot", HOSTILE, f"{DAY}/../../secret.txt", HOSTILE, 3),
            Evidence("screenshot", HOSTILE, LINKED, HOSTILE, 3),
            *(
                Evidence("body", name, f"{DAY}/{ID}/{name}", sha256(ANSWER).hexdigest(), len(ANSWER))
                for name in ANSWERS
            ),
        ),
        side_effects=(SideEffect(HOSTILE, HOSTILE, fate=HOSTILE, detail=HOSTILE),),
        attributes={HOSTILE: HOSTILE, "run.seed": HOSTILE},
    )


async def fill(store: Store) -> None:
    """Good runs of two probes, hostile ones, a hostile word of a probe about itself, what was set aside, hostile releases."""
    for number, target in enumerate(("stand-in", HOSTILE)):
        text = f"{HOSTILE}{number}"
        marker = release_at(
            41 + number, target=target, name=text, environment=text, cause=text, by=text, note=text, report_url=LINKED
        )
        await store.releases.add("fleet", marker, now=NOW, received_from=HOSTILE)
    await store.file([deliver(runs_from(20)), deliver(runs_from(20, probe=OTHER), probe=OTHER)])
    renamed = replace(hostile_run(98), identity=replace(hostile_run(98).identity, scenario=HOSTILE))
    strange = hostile_run(97, run_id=HOSTILE[:40])
    await store.file([deliver([run_entry(one) for one in (hostile_run(), renamed, strange)], first_seq=100)])
    await store.file([deliver(runs_from(1), topic=f"fleet/v1/{HOSTILE}/results/x/y")])
    said = {
        "online": True,
        "ready": True,
        HOSTILE: HOSTILE,
        "lanes": {HOSTILE: {"restarts": 3, "beat": {"unfit": [HOSTILE]}}},
    }
    await store.note_status(PROBE, json.dumps(said).encode(), NOW + timedelta(minutes=59))
    for number, origin in enumerate((Origin.PLATFORM, Origin.FLEET)):
        await open_an_incident(
            store,
            NOW + timedelta(minutes=5),
            key=f"{HOSTILE}{number}",
            origin=origin,
            fleet="fleet",
            target="stand-in",
            title=HOSTILE,
            facts=FACTS,
        )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApart]:
    """Pages over all that, with evidence that would be a page of ours if it were let."""
    folder = tmp_path_factory.mktemp("hostile")
    kept = folder / "evidence" / DAY / ID
    kept.mkdir(parents=True)
    for name in ANSWERS:
        (kept / name).write_bytes(ANSWER)
    database = folder / "store.db"

    async def make() -> None:
        async with open_store(str(database)) as store:
            await store.scores.begin(Scorer.of(site_over(store).objectives.current))
            await fill(store)

    thread = threading.Thread(target=lambda: asyncio.run(make()))
    thread.start()
    thread.join()
    with served_over(database, QuickClock(), evidence_dir=folder / "evidence") as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One browser for this file."""
    async with open_browser() as opened:
        yield opened


@asynccontextmanager
async def watched(browser: Browser, origin: str) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page that notes every request to another host and every word of the console."""
    trouble: list[str] = []
    async with open_page(browser, DESK) as page:
        await page.add_init_script(WATCH)
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda request: None if request.url.startswith((origin, "data:")) else trouble.append(request.url),
        )
        page.on("console", lambda one: None if "status of 4" in one.text else trouble.append(f"console: {one.text}"))
        yield page, trouble


@browsing
@pytest.mark.parametrize("path", PATHS)
async def test_nothing_that_a_probe_wrote_runs_or_becomes_a_part_of_a_page(
    browser: Browser, hostile: ServedApart, path: str
) -> None:
    """No script ran, no element came out of a text, no link leads to a script, and the policy had nothing to stop."""
    async with watched(browser, hostile.url) as (page, trouble):
        await load(page, f"{hostile.url}{path}")
        assert await page.evaluate(f"typeof window.{MARK}") == "undefined"
        assert await page.locator(f"#{MARK}, base, style, iframe, object, embed").count() == 0
        assert await page.locator("[onerror], [onload], [onclick], [style]").count() == 0
        links = await page.evaluate(LEADS)
        assert [one for one in links if not one.startswith((hostile.url, "data:"))] == []
        scripts = await page.evaluate("[...document.scripts].map(one => one.getAttribute('src'))")
        assert all(one and one.startswith("/static/") for one in scripts)
        assert await page.evaluate("window.broken") == []
    assert trouble == []


@browsing
async def test_the_hostile_text_is_really_there(browser: Browser, hostile: ServedApart) -> None:
    """Shown as it was written, but for what would steer a terminal or the direction of a line."""
    async with watched(browser, hostile.url) as (page, _):
        await load(page, f"{hostile.url}/runs/{ID}")
        text = await page.inner_text("main")
        assert text.count(f"<script>window.{MARK}=1</script>") >= 10
        assert "{{7*7}}" in text
        assert "\u202e" not in text
        assert "\x1b" not in text
        await load(page, f"{hostile.url}/fleet")
        fleet = await page.inner_text("main")
        assert "is not the name of a scenario" in fleet
        assert f"<script>window.{MARK}=1</script>" in fleet


@browsing
async def test_a_hostile_release_that_comes_while_somebody_looks_is_only_text(browser: Browser, tmp_path: Path) -> None:
    """The list on the overview grows by one line, live, as it was told, with a link that the server let through."""
    name = f"<b>x</b><script>window.{MARK}=1</script>"
    marker = release_at(58, name=name, cause=f"<img src=x onerror=window.{MARK}=1>", report_url="https://ci.example/1")
    # Pages of its own: those of the other tests must lead nowhere else.
    with served_apart(tmp_path) as served:
        async with watched(browser, served.url) as (page, trouble):
            await load(page, served.url)
            await page.get_by_text("Live.", exact=True).wait_for()
            before = await page.locator("#releases li").count()
            operates = {"Authorization": f"Bearer {WRITE}", "Content-Type": "application/json"}
            answer = await page.request.post(
                f"{served.url}/api/v1/releases", data=render_release(marker).decode(), headers=operates
            )
            assert answer.status == 200
            line = page.locator(f"#releases li[data-release='{marker.identity}']")
            await line.wait_for()
            assert await page.locator("#releases li").first.get_attribute("data-release") == marker.identity
            assert await page.locator("#releases li").count() == before + 1
            text = await line.inner_text()
            assert name in text
            assert marker.cause in text
            assert "gate passed" in text
            assert await page.locator("#releases b, #releases script, #releases img").count() == 0
            links = await page.locator("#releases a").evaluate_all("all => all.map(one => [one.href, one.rel])")
            assert links == [["https://ci.example/1", "noopener noreferrer"]]
            assert await page.evaluate(f"typeof window.{MARK}") == "undefined"
    assert trouble == []


@browsing
@pytest.mark.parametrize("name", ANSWERS)
async def test_evidence_never_runs(browser: Browser, hostile: ServedApart, name: str) -> None:
    """A body that a platform answered is handed over as a file, or shown in a sandbox as the picture it is not."""
    async with watched(browser, hostile.url) as (page, _):
        await load(page, f"{hostile.url}/status")
        answer = await page.request.get(f"{hostile.url}/evidence/{DAY}/{ID}/{name}")
        assert answer.status == 200
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not answer.headers["content-type"].startswith(
            ("text/html", "image/svg", "application/xhtml", "text/xml")
        )
        is_shown = answer.headers["content-disposition"].startswith("inline")
        assert is_shown == (name == "answer.png")
        if is_shown:
            await page.goto(f"{hostile.url}/evidence/{DAY}/{ID}/{name}")
            assert await page.evaluate(f"typeof window.{MARK}") == "undefined"


@browsing
async def test_hostile_evidence_paths_are_no_links(browser: Browser, hostile: ServedApart) -> None:
    """Of eight pieces five lie where evidence can lie; the others are names and nothing to follow."""
    async with watched(browser, hostile.url) as (page, _):
        await load(page, f"{hostile.url}/runs/{ID}")
        found = await page.eval_on_selector_all(
            "a[href^='/evidence/']", "all => all.map(one => one.getAttribute('href'))"
        )
        assert found == [f"/evidence/{DAY}/{ID}/{name}" for name in ANSWERS]


async def test_a_flood_of_requests_is_refused_and_results_are_stored_meanwhile(tmp_path: Path) -> None:
    """A peer that asks for too much is told so; a delivery that comes in the middle of it is committed."""
    async with open_filled(tmp_path) as filled:
        paths = ("/runs", "/fleet", "/status", "/", "/compare?by=region", "/runs/none", f"/evidence/{DAY}/x/y.png")
        count = PAGE_BUDGET.burst + 100
        flood = [asyncio.create_task(filled.pages.ask(paths[number % len(paths)])) for number in range(count)]
        before = (await filled.store.totals()).entries
        result = await filled.store.file([deliver(runs_from(20, start_at=NOW + timedelta(minutes=20)), first_seq=500)])
        answers = [one.status for one in await asyncio.gather(*flood)]
        assert len(result.receipts[0].numbers) == 20
        assert (await filled.store.totals()).entries == before + 20
        assert 429 in answers
        assert set(answers) <= {200, 404, 429, 503}


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}])
@pytest.mark.parametrize("path", ["/alerts/1/acknowledge", "/logout", "/api/v1/alerts/1/acknowledge"])
async def test_no_other_site_can_have_anything_changed(tmp_path: Path, headers: dict[str, str], path: str) -> None:
    """On this very host, where nobody needs a token, a form or a script of another site changes nothing."""
    async with open_filled(tmp_path, read_tokens={"desk": READ}, operate_tokens={"oncall": WRITE}) as filled:
        answer = await filled.pages.ask(path, "POST", data={"by": "evil", "note": HOSTILE, "csrf": ""}, headers=headers)
        assert answer.status in {400, 403, 415}
        incident = await filled.store.alerts.incident(1)
        assert incident is not None
        assert incident.acknowledged_at is None


async def test_a_note_of_a_person_is_only_text_too(tmp_path: Path) -> None:
    """Who may operate cannot put more than words on a page either."""
    async with open_filled(tmp_path) as filled:
        form = await filled.pages.ask("/alerts/1")
        data = {"by": HOSTILE[:60], "note": HOSTILE, "csrf": form.csrf()}
        assert (await filled.pages.ask("/alerts/1/acknowledge", "POST", data=data)).status == 303
        for path in ("/alerts/1", "/alerts"):
            text = (await filled.pages.ask(path)).text
            assert f"<script>window.{MARK}" not in text
            assert "&lt;script&gt;" in text
