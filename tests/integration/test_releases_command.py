"""`releases` and `smoke --release` against real pages: what the collector is told, once; what it refuses; what is kept."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from collector.store import open_store
from console.command_line import parse_arguments
from console.gate_release import announcement_of, tell_of_gate
from console.release_origin import origin_of
from console.release_sending import MOST_PAUSE_S, MOST_TRIES, NotReachedError, collector_of
from console.releases_command import run_releases
from probes.errors import OperatorError
from probes.release_marker import MOST_BY, ReleaseMarker, ReleaseOutcome, parse_release, render_release
from slo.release_gate import ReleaseDecision
from tests.desk_kit import Called, call, desk_of
from tests.free_ports import free_port
from tests.gate_kit import make_story
from tests.release_kit import release_at
from tests.store_kit import NOW
from tests.web_kit import READ, WRITE, Filled, open_filled

HOUR = timedelta(hours=1)
TOKEN = "FLEET_RELEASE_TOKEN"


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Filled]:
    """A collector's pages that know one release, an hour after NOW."""
    async with open_filled(tmp_path / "pages", read_tokens={"desk": READ}, operate_tokens={"gate": WRITE}) as opened:
        yield opened


def environ_of(tmp_path: Path, token: str = WRITE, **more: str) -> dict[str, str]:
    """The variables of a command with a state folder of its own."""
    return {TOKEN: token, "PROBE_FLEET_STATE_DIR": str(tmp_path / "state"), "PROBE_FLEET_FLEET": "fleet", **more}


async def releases(filled: Filled | str, tmp_path: Path, *words: str, token: str = WRITE, **environ: str) -> Called:
    """Call `releases` an hour after NOW, against these pages or an address."""
    url = filled if isinstance(filled, str) else filled.pages.url
    command = ["releases", *words, "--announce", url]
    return await call(run_releases, command, NOW + HOUR, environ=environ_of(tmp_path, token, **environ))


async def known(filled: Filled) -> list[ReleaseMarker]:
    """What the collector knows, as it heard of it."""
    return [one.marker for one in reversed(await filled.store.releases.heard_last("fleet", 50))]


def kept(tmp_path: Path) -> list[Path]:
    """The releases that wait to be told."""
    return sorted((tmp_path / "state" / "releases").glob("*"))


async def test_a_release_without_a_gate_is_told_and_listed(filled: Filled, tmp_path: Path) -> None:
    """With everything that was said of it; the same again is no news; nothing waits in a file."""
    words = (
        "add",
        "2026.11.4",
        "--target",
        "stand-in",
        "--at",
        "2026-03-01T12:30+00:00",
        "--note",
        "by hand",
        "--by",
        "Ada",
    )
    first = await releases(filled, tmp_path, *words, "--environment", "live", "--report-url", "https://ci.example/1")
    assert (first.code, first.said) == (
        0,
        "The collector knows of release 2026.11.4 of stand-in at 2026-03-01 12:30 UTC",
    )
    again = await releases(filled, tmp_path, *words, "--environment", "live", "--report-url", "https://ci.example/1")
    assert "knew already of" in again.said
    told = release_at(30, name="2026.11.4", outcome=ReleaseOutcome.NO_GATE, environment="live", by="Ada")
    told = replace(told, note="by hand", report_url="https://ci.example/1")
    assert await known(filled) == [release_at(2), told]
    listed = await releases(filled, tmp_path, "list", "--json", str(tmp_path / "list.json"))
    assert listed.lines[0] == "2026-03-01 12:30 UTC 2026.11.4 of stand-in, live: no gate"
    assert "2026-03-01 12:02 UTC 2026.11.3 of stand-in: pass" in listed.lines
    document = json.loads((tmp_path / "list.json").read_bytes())
    assert [one["name"] for one in document["releases"]] == ["2026.11.4", "2026.11.3"]
    assert "2026.11.3" not in (await releases(filled, tmp_path, "list", "--target", "other")).said
    assert kept(tmp_path) == []


async def test_without_an_address_the_database_is_told(tmp_path: Path) -> None:
    """On the collector's own host; by the same rules."""
    database = str(tmp_path / "store.db")
    async with open_store(database):
        pass
    environ = environ_of(tmp_path)
    words = ["releases", "add", "2026.11.4", "--target", "stand-in", "--database", database]
    assert (await call(run_releases, words, NOW, environ=environ)).code == 0
    listed = await call(run_releases, ["releases", "list", "--database", database], NOW, environ=environ)
    assert listed.lines[0] == "2026-03-01 12:00 UTC 2026.11.4 of stand-in: no gate"
    with pytest.raises(OperatorError, match="known already, with another note"):
        await call(run_releases, [*words, "--note", "other"], NOW, environ=environ)
    with pytest.raises(OperatorError, match="two ways"):
        await call(run_releases, [*words, "--announce", "http://127.0.0.1:1"], NOW, environ=environ)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("add", "x" * 81, "--target", "a"), "name"),
        (("add", "a\nb", "--target", "a"), "control characters"),
        (("add", "a"), "one of a target"),
        (("add", "a", "--target", "a", "--at", "2026-03-01T12:30"), "names no zone"),
        (("add", "a", "--target", "a", "--at", "yesterday"), "no instant"),
        (("add", "a", "--target", "a", "--at", "2026-03-01T14:00Z"), "lies ahead"),
        (("add", "a", "--target", "a", "--report-url", "javascript:alert(1)"), "report_url"),
        (("add", "a", "--target", "a", "--note", "x" * 501), "note"),
        (("send", "no-such-file"), "cannot be read"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(
    tmp_path: Path, words: Sequence[str], told: str
) -> None:
    """An error of usage; there is no collector at that address."""
    with pytest.raises(OperatorError, match=told):
        await releases(f"http://127.0.0.1:{free_port()}", tmp_path, *words)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(("token", "told"), [("nonsense", "401.*operate_tokens"), (READ, "403.*operate_tokens")])
async def test_a_wrong_token_is_an_error_of_usage(filled: Filled, tmp_path: Path, token: str, told: str) -> None:
    """With what to do; the token is not repeated."""
    with pytest.raises(OperatorError, match=told) as caught:
        await releases(filled, tmp_path, "add", "a", "--target", "a", token=token)
    assert token not in str(caught.value)
    with pytest.raises(OperatorError, match=TOKEN):
        await releases(filled, tmp_path, "add", "a", "--target", "a", token="")


async def test_what_could_not_be_told_is_kept_and_sent_later_and_counts_once(filled: Filled, tmp_path: Path) -> None:
    """The file goes when the collector has it; a conflict leaves it where it is."""
    words = ("add", "2026/11 4", "--target", "stand-in", "--at", "2026-03-01T12:30Z")
    with pytest.raises(NotReachedError, match="releases send"):
        await releases(f"http://127.0.0.1:{free_port()}", tmp_path, *words)
    (path,) = kept(tmp_path)
    content = path.read_bytes()
    sent = await releases(filled, tmp_path, "send", str(path))
    assert "knows of release 2026/11 4" in sent.said
    assert not path.exists()
    path.write_bytes(content)
    assert "knew already of" in (await releases(filled, tmp_path, "send", str(path))).said
    path.write_bytes(render_release(replace(parse_release(content, where=""), note="other")))
    with pytest.raises(OperatorError, match="another note"):
        await releases(filled, tmp_path, "send", str(path))
    assert path.exists()
    assert len(await known(filled)) == 2


@dataclass(slots=True)
class Answers:
    """A server that answers as it is told, one after the other, and notes the tokens it was asked with."""

    replies: list[web.Response]
    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """The next one."""
        self.asked.append(request.headers["Authorization"])
        return self.replies.pop(0)


@asynccontextmanager
async def answering(*replies: web.Response) -> AsyncIterator[Answers]:
    """Such a server."""
    answers = Answers(list(replies))
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answers.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        answers.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield answers
    finally:
        await runner.cleanup()


def busy(status: int = 503) -> web.Response:
    """Not now."""
    return web.json_response({"error": "Not now", "detail": "busy"}, status=status, headers={"Retry-After": "3600"})


async def test_a_collector_that_is_busy_is_asked_again_a_few_times(tmp_path: Path) -> None:
    """The pauses are bounded, whatever it asks for; then it was not reached, and the release is kept."""
    async with answering(busy(), busy(429), web.json_response({"is_new": True})) as answers:
        desk, _ = desk_of(["releases", "list", "--announce", answers.url], NOW, environ=environ_of(tmp_path))
        collector = collector_of(desk)
        assert collector is not None
        assert await collector.tell(release_at(0))
        assert answers.asked == [f"Bearer {WRITE}"] * MOST_TRIES
        assert desk.clock.now() - NOW == timedelta(seconds=MOST_PAUSE_S) * (MOST_TRIES - 1)
    async with answering(*(busy(500) for _ in range(MOST_TRIES))) as answers:
        with pytest.raises(NotReachedError, match="answers 500: busy"):
            await releases(answers.url, tmp_path, "add", "a", "--target", "a")
        assert answers.replies == []
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize(
    "reply",
    [
        lambda: web.Response(text="<html>welcome</html>", content_type="text/html"),
        lambda: web.Response(text="[1]", content_type="application/json"),
        lambda: web.Response(text="\x1b[31m" * 100, status=404),
        lambda: web.Response(status=302, headers={"Location": "https://evil.example/"}),
        lambda: web.json_response({"detail": {"a": "\x1b"}}, status=400),
    ],
)
async def test_what_is_no_collector_is_told_apart_and_not_asked_again(tmp_path: Path, reply: object) -> None:
    """In words that a terminal can take; a token is never taken elsewhere by a redirect."""
    assert callable(reply)
    async with answering(reply()) as answers:
        with pytest.raises(OperatorError) as caught:
            await releases(answers.url, tmp_path, "add", "a", "--target", "a")
        assert str(caught.value).isprintable()
        assert len(answers.asked) == 1


STORIES = {
    ReleaseDecision.PASS: ReleaseOutcome.PASS,
    ReleaseDecision.FAIL: ReleaseOutcome.FAIL,
    ReleaseDecision.INCONCLUSIVE: ReleaseOutcome.INCONCLUSIVE,
    ReleaseDecision.UNDECIDED: ReleaseOutcome.UNDECIDED,
}


@pytest.mark.parametrize("answer", STORIES)
async def test_a_gates_answer_and_cause_reach_the_collector(
    filled: Filled, tmp_path: Path, answer: ReleaseDecision
) -> None:
    """With the target that its runs name, its beginning and end, and the job that ran it."""
    story = make_story(failures=5 if answer is ReleaseDecision.FAIL else 0, message="total: \x1b[31m" + "x" * 600)
    story = replace(story, answer=answer, target="staging", started_at=NOW, ended_by="the time is over")
    ci = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKFLOW": "gate",
        "GITHUB_RUN_NUMBER": "7",
        "GITHUB_SERVER_URL": "https://git.example",
    }
    words = ["smoke", "--release", "2026.11.4", "--announce", filled.pages.url, "--environment", "staging"]
    desk, printed = desk_of(
        words, NOW + HOUR, environ=environ_of(tmp_path, **ci, GITHUB_REPOSITORY="a/b", GITHUB_RUN_ID="9")
    )
    announcement = announcement_of(desk)
    assert announcement is not None
    await tell_of_gate(desk, announcement, story)
    _, told = await known(filled)
    assert (told.name, told.target, told.environment) == ("2026.11.4", story.runs[0].run.target, "staging")
    assert (told.outcome, told.began_at, told.ended_at) == (STORIES[answer], NOW, NOW + HOUR)
    assert (told.by, told.report_url) == ("GitHub Actions: gate #7", "https://git.example/a/b/actions/runs/9")
    if answer is ReleaseDecision.FAIL:
        assert told.cause.startswith("price (assertion) in quote: total: ")
    assert "knows of release 2026.11.4" in printed.getvalue()
    assert kept(tmp_path) == []


async def test_a_gate_whose_collector_is_away_ends_as_it_would_and_its_release_is_kept(
    filled: Filled, tmp_path: Path
) -> None:
    """Said also where only the verdict is wanted, with the command that tells it later; interrupted, one try is enough."""
    url = f"http://127.0.0.1:{free_port()}"
    words = ["smoke", "--release", "2026.11.4", "--announce", url, "--quiet"]
    desk, printed = desk_of(words, NOW + HOUR, environ=environ_of(tmp_path))
    announcement = announcement_of(desk)
    assert announcement is not None
    desk.stop.ask()
    await tell_of_gate(desk, announcement, replace(make_story(rounds=3), started_at=NOW))
    (path,) = kept(tmp_path)
    assert parse_release(path.read_bytes(), where="").outcome is ReleaseOutcome.INTERRUPTED
    assert f"releases send {path} --announce {url}" in printed.getvalue()
    assert desk.clock.now() == NOW + HOUR
    assert (await releases(filled, tmp_path, "send", str(path))).code == 0
    assert (await known(filled))[-1].outcome is ReleaseOutcome.INTERRUPTED


async def test_a_gate_that_nothing_can_be_kept_of_says_so(tmp_path: Path) -> None:
    """A state folder that is a file, and no collector: the person is told of both, and nothing is raised."""
    (tmp_path / "state").write_text("a file")
    words = ["smoke", "--release", "a", "--announce", f"http://127.0.0.1:{free_port()}"]
    desk, printed = desk_of(words, NOW, environ=environ_of(tmp_path))
    announcement = announcement_of(desk)
    assert announcement is not None
    await tell_of_gate(desk, announcement, make_story())
    assert "could not be kept either" in printed.getvalue()


@pytest.mark.parametrize(
    ("environ", "by", "url"),
    [
        ({}, "", ""),
        ({"USER": "ada"}, "ada", ""),
        (
            {
                "GITLAB_CI": "true",
                "CI_JOB_NAME": "gate",
                "CI_JOB_ID": "5",
                "GITLAB_USER_LOGIN": "ada",
                "CI_JOB_URL": "https://x/5",
            },
            "GitLab CI: gate #5, ada",
            "https://x/5",
        ),
        ({"GITLAB_CI": "true", "CI_JOB_URL": "javascript:x"}, "GitLab CI: #", ""),
        ({"GITHUB_ACTIONS": "true", "GITHUB_WORKFLOW": "\x1b[31m" + "w" * 500}, "GitHub Actions: \ufffd[31m", ""),
    ],
)
def test_who_tells_is_the_job_or_the_person(environ: dict[str, str], by: str, url: str) -> None:
    """Whatever a runner says of itself is cut and cleaned."""
    found = origin_of(environ)
    assert found.by.startswith(by)
    assert found.url == url
    assert found.by.isprintable()
    assert len(found.by) <= MOST_BY


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("smoke --release= --announce http://a", "needs a name"),
        ("smoke --release a --announce ftp://a", "http://"),
        ("smoke --release a --announce http://user:word@a", "more than an address"),
        ("smoke --release a --announce http://a:99999", "http://"),
        ("soak --release a", "--release goes with smoke"),
        ("smoke --at 2026-01-01T00:00Z", "--at goes with releases"),
        ("list --environment a", "goes with smoke, releases"),
        ("releases", "needs one of list, add, send"),
        ("releases add", "takes one name"),
        ("releases list more", "takes no further word"),
        ("releases list --all", "goes with alerts"),
        ("smoke --note a", "goes with alerts, releases"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: str, told: str) -> None:
    """Before anything is read."""
    with pytest.raises(OperatorError, match=told) as caught:
        parse_arguments(words.split())
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "told"), [("--announce http://a", "without a release"), ("--release a", "no collector is named")]
)
def test_a_gate_is_not_begun_that_could_tell_nobody(tmp_path: Path, words: str, told: str) -> None:
    """An error of usage before the first round."""
    desk, _ = desk_of(["smoke", *words.split()], NOW, environ=environ_of(tmp_path))
    with pytest.raises(OperatorError, match=told):
        announcement_of(desk)
