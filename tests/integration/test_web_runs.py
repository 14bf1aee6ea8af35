"""The page of a run, the list of runs, and evidence: what stands there, what is compared, and that none of it can do a thing."""

from __future__ import annotations

import json
import os
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from collector.web.evidence_files import difference_from, open_file
from collector.web.runs_view import MOST_LISTED
from probes.records import (
    Evidence,
    Fitness,
    Outcome,
    SideEffect,
)
from tests.store_kit import NOW, deliver, run_at, run_entry
from tests.web_kit import READ, open_filled
from tests.web_runs_kit import DAY, failed_run, store_run, with_evidence

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>&\u202e\x1b[31m'


async def test_a_run_tells_all_that_its_record_holds(tmp_path: Path) -> None:
    """Steps and phases, what was checked, host, clock, evidence, what it made."""
    async with open_filled(tmp_path) as filled:
        await store_run(filled, failed_run(NOW + timedelta(minutes=40)))
        page = await filled.pages.read("/runs/run00099")
        assert page.status == 200
        for said in (
            "at upload (assertion)",
            "price: expected 12, found 0",
            "behind the collector's by 3.00 ms, give or take 1.00 ms",
            "fit to measure; event loop late by 2.00 ms",
            "http-timing-excess",
            "500 GET /x",
            "does not hold",
            "screenshot-upload.png",
            "cube.step",
            "deleted",
        ):
            assert said in page.text, said
        assert page.text.count('class="picture waterfall"') == 5
        assert 'class="phase-wait"' in page.text


async def test_a_run_is_compared_with_the_nearest_that_passed(tmp_path: Path) -> None:
    """The last good one before it; steps it did not reach and times and statuses that stand out are marked."""
    async with open_filled(tmp_path) as filled:
        await store_run(filled, failed_run(NOW + timedelta(seconds=15 * 10 + 5)))
        page = await filled.pages.read("/runs/run00099")
        nearest = page.text.partition("Beside the nearest run that passed")[2]
        assert 'href="/runs/run00011"' in nearest, "that of 5 s before, not the one 10 s later"
        assert nearest.count("not reached<") == 2
        assert "not reached here: analyse, quote" in nearest
        assert "upload: GET /x 500 here, 200 there" in nearest
        assert "upload: 600 ms here, 20.0 ms there" in nearest


async def test_runs_against_another_target_are_not_compared(tmp_path: Path) -> None:
    """A staging platform is no measure for the production one."""
    async with open_filled(tmp_path) as filled:
        await store_run(filled, replace(failed_run(NOW + timedelta(minutes=20)), target="staging"))
        page = await filled.pages.read("/runs/run00099")
        assert "No run of this scenario against this target passed" in page.text


async def test_a_run_of_an_unfit_minute_counts_for_nothing(tmp_path: Path) -> None:
    """What the host said of itself stands above what the run found."""
    async with open_filled(tmp_path) as filled:
        ours = replace(
            failed_run(NOW + timedelta(minutes=40)),
            outcome=Outcome.INCONCLUSIVE,
            fitness=Fitness(reasons=("steal 40 %",)),
        )
        await store_run(filled, ours)
        page = await filled.pages.read("/runs/run00099")
        assert "not fit: steal 40 %" in page.text
        assert "says nothing" in page.text


@pytest.mark.parametrize("run_id", ["none", "0" * 26, "x" * 65, "%00", "..%2f..%2fetc%2fpasswd", "%ff"])
async def test_an_id_that_is_none_is_not_found(tmp_path: Path, run_id: str) -> None:
    """Whatever stands in the address."""
    async with open_filled(tmp_path) as filled:
        assert (await filled.pages.read(f"/runs/{run_id}")).status in {400, 404}


async def test_what_a_platform_wrote_is_only_text(tmp_path: Path) -> None:
    """On the page of the run, and in the list."""
    async with open_filled(tmp_path) as filled:
        hostile = replace(
            failed_run(NOW + timedelta(minutes=40), text=HOSTILE),
            target_release=HOSTILE,
            marks=(HOSTILE,),
            evidence=(Evidence(HOSTILE, HOSTILE, '"><script>', HOSTILE, 3),),
            side_effects=(SideEffect(HOSTILE, HOSTILE, detail=HOSTILE),),
            attributes={},
        )
        await store_run(filled, hostile)
        for path in ("/runs/run00099", "/runs?outcome=fail"):
            page = await filled.pages.read(path)
            assert page.status == 200
            assert "<script>alert" not in page.text
            assert "<img src=x" not in page.text
            assert "\u202e" not in page.text
            assert "\x1b" not in page.text
            assert "&lt;script&gt;" in page.text


async def test_runs_are_listed_by_scenario_region_outcome_and_time(tmp_path: Path) -> None:
    """Each leads to its page by its slot."""
    async with open_filled(tmp_path) as filled:
        await store_run(filled, failed_run(NOW + timedelta(minutes=40)))
        everything = (await filled.pages.read("/runs")).text
        assert "41 runs in the last day" in everything
        failed = (await filled.pages.read("/runs?outcome=fail&region=eu-west&scenario=quote&hours=6")).text
        assert "1 run in the last 6 hours" in failed
        link = "/slots?" + failed.partition('href="/slots?')[2].partition('"')[0].replace("&amp;", "&")
        lead = await filled.pages.ask(link)
        assert (lead.status, lead.headers["Location"]) == (303, "/runs/run00099")
        assert "No run of this kind" in (await filled.pages.read("/runs?region=nowhere")).text
        earlier = f"/runs?until={(NOW + timedelta(minutes=1)).isoformat().replace('+', '%2B')}"
        assert "8 runs in the last day" in (await filled.pages.read(earlier)).text


async def test_a_long_list_is_told_page_by_page_and_no_run_is_left_out(tmp_path: Path) -> None:
    """Many runs of one instant, over the border of a page: each is told once, on the pages and by the API."""
    async with open_filled(tmp_path) as filled:
        at = NOW + timedelta(minutes=30)
        many = [
            run_entry(run_at(at, scenario=f"journey-{number}", number=number)) for number in range(MOST_LISTED + 30)
        ]
        await filled.store.file([deliver(many, first_seq=2000)])
        told, query = [], "?until=2026-03-01T13:00:00%2B00:00"
        path: str | None = f"/api/v1/runs{query}"
        while path:
            answer = json.loads((await filled.pages.ask(path)).text)
            told += [(one["scenario"], one["region"], one["slot_at"]) for one in answer["runs"]]
            path = f"/api/v1/runs{query}&after={answer['next_after']}" if answer["next_after"] else None
        assert len(told) == len(set(told)) == 40 + len(many)
        first = await filled.pages.read(f"/runs{query}")
        more = first.text.partition(' href="/runs?hours')[2].partition('"')[0].replace("&amp;", "&")
        second = await filled.pages.read(f"/runs?hours{more}")
        assert f"{MOST_LISTED} runs in" in first.text
        assert f"{40 + len(many) - MOST_LISTED} more runs in" in second.text


@pytest.mark.parametrize(
    "query", ["hours=5", "outcome=good", "until=yesterday", "until=0001-01-01", "after=x", "scenario=%00"]
)
async def test_a_filter_that_is_none_is_refused(tmp_path: Path, query: str) -> None:
    """With what it may be."""
    async with open_filled(tmp_path) as filled:
        assert (await filled.pages.ask(f"/runs?{query}")).status == 400


async def test_evidence_is_served_from_its_folder_and_runs_nowhere(tmp_path: Path) -> None:
    """A picture is shown, a page that was kept is only a file, and both are in a sandbox."""
    folder = tmp_path / "evidence" / DAY / "run00099"
    folder.mkdir(parents=True)
    (folder / "screenshot-upload.png").write_bytes(b"png")
    (folder / "body.html").write_bytes(b"<script>alert(1)</script>")
    async with open_filled(tmp_path / "s", evidence_dir=tmp_path / "evidence") as filled:
        body = b"<script>alert(1)</script>"
        await store_run(filled, with_evidence(("screenshot-upload.png", b"png"), ("body.html", body)))
        page = await filled.pages.read("/runs/run00099")
        assert f'href="/evidence/{DAY}/run00099/screenshot-upload.png"' in page.text
        shot = await filled.pages.ask(f"/evidence/{DAY}/run00099/screenshot-upload.png")
        assert (shot.status, shot.text, shot.headers["Content-Type"]) == (200, "png", "image/png")
        kept = await filled.pages.ask(f"/evidence/{DAY}/run00099/body.html")
        assert kept.headers["Content-Type"] == "application/octet-stream"
        assert kept.headers["Content-Disposition"].startswith("attachment")
        for answer in (shot, kept):
            assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_that_is_not_what_was_kept_is_refused_and_the_page_says_so(tmp_path: Path) -> None:
    """One byte changed, or a part missing: an error in words, on the page and from the API, and not a byte of the file."""
    folder = tmp_path / "evidence" / DAY / "run00099"
    folder.mkdir(parents=True)
    (folder / "good.txt").write_bytes(b"as it was")
    (folder / "changed.txt").write_bytes(b"as it waz")
    (folder / "short.txt").write_bytes(b"as it")
    (folder / "unnamed.txt").write_bytes(b"as it was")
    kept = [(name, b"as it was") for name in ("good.txt", "changed.txt", "short.txt", "gone.txt")]
    async with open_filled(tmp_path / "s", evidence_dir=tmp_path / "evidence") as filled:
        await store_run(filled, with_evidence(*kept))
        told = json.loads((await filled.pages.ask("/api/v1/runs/run00099")).text)["evidence"]
        assert [one["presence"] for one in told] == ["here", "here", "other_size", "not_here"]
        assert (await filled.pages.read("/runs/run00099")).text.count("not what was kept") == 1
        for name, status, words in (
            ("good.txt", 200, "as it was"),
            ("changed.txt", 409, "SHA-256"),
            ("short.txt", 409, "5 bytes"),
            ("unnamed.txt", 404, "names no such file"),
            ("gone.txt", 404, "not on the collector"),
        ):
            page = await filled.pages.ask(f"/evidence/{DAY}/run00099/{name}")
            answer = await filled.pages.ask(f"/api/v1/evidence/{DAY}/run00099/{name}")
            assert (page.status, answer.status) == (status, status)
            assert words in page.text.replace("&#39;", "'")
            assert words in (answer.text if status == 200 else json.loads(answer.text)["detail"])
            if status != 200:
                assert "as it wa" not in page.text + answer.text
        assert answer.headers["Content-Type"].startswith("application/json")


async def test_a_large_file_is_compared_in_pieces(tmp_path: Path) -> None:
    """Neither comparing nor sending holds more than some pieces of it, and other pages are answered meanwhile."""
    folder = tmp_path / "evidence" / DAY / "run00099"
    folder.mkdir(parents=True)
    content = bytes(range(256)) * (48 * 4096)
    (folder / "trace.zip").write_bytes(content)
    async with open_filled(tmp_path / "s", evidence_dir=tmp_path / "evidence") as filled:
        await store_run(filled, with_evidence(("trace.zip", content)))
        await filled.pages.read("/runs/run00099")
        tracemalloc.start()
        try:
            found = open_file(tmp_path / "evidence", f"{DAY}/run00099/trace.zip")
            assert found is not None
            with found.file:
                recorded = with_evidence(("trace.zip", content)).evidence[0]
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
                assert difference_from(recorded, found) == ""
                _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < len(content) / 10
        assert (await filled.pages.ask(f"/evidence/{DAY}/run00099/trace.zip", "HEAD")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "../../../secret.txt",
        "..%2f..%2fsecret.txt/a/b",
        f"{DAY}/..%2f..%2fsecret.txt",
        f"{DAY}/run/..%2f..%2f..%2fsecret.txt",
        f"{DAY}/run/%2e%2e",
        f"{DAY}/run/secret.txt%00.png",
        f"{DAY}/run/linked.txt",
        f"{DAY}/linked/secret.txt",
        f"{DAY}/run/.hidden",
        f"{DAY}/run/pipe",
        f"{DAY}/run/gone.txt",
        f"{DAY}/run",
    ],
)
async def test_nothing_outside_of_the_folder_is_served(tmp_path: Path, path: str) -> None:
    """Neither by dots nor by links, and no pipe is waited for."""
    (tmp_path / "secret.txt").write_text("secret")
    run = tmp_path / "evidence" / DAY / "run"
    run.mkdir(parents=True)
    (run / ".hidden").write_text("secret")
    (run / "linked.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "evidence" / DAY / "linked").symlink_to(tmp_path)

    os.mkfifo(run / "pipe")
    async with open_filled(tmp_path / "s", evidence_dir=tmp_path / "evidence") as filled:
        answer = await filled.pages.ask(f"/evidence/{path}")
        assert answer.status in {400, 404}
        assert "secret" not in answer.text


async def test_evidence_and_runs_are_for_those_who_may_read(tmp_path: Path) -> None:
    """A stranger is asked for a token, whatever is there."""
    async with open_filled(tmp_path, read_tokens={"desk": READ}) as filled:
        for path in ("/runs", "/runs/run00001", f"/evidence/{DAY}/run/a.png", "/slots"):
            stranger = await filled.pages.ask(path, host="status.example")
            assert stranger.status == 303, path
            reader = await filled.pages.ask(path, host="status.example", headers={"Authorization": f"Bearer {READ}"})
            assert reader.status != 303, path
