"""What scenarios find wrong: each lie that a status code hides, told by a small real server, is caught at its step and kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from fixtures.cad.catalog import open_catalog
from probes.clock import SystemClock
from probes.errors import OperatorError
from probes.execute import RunEnvironment
from probes.http import HttpEngine
from probes.records import FailureKind, Outcome, Run
from probes.targets import load_target
from scenarios.platform import open_platform
from tests.journey_kit import open_target
from tests.scenario_kit import describe, run_built_in

HEALTH = """
[[operations.api_health.requests]]
url = "{api}/health"
[operations.api_health.requests.checks]
status = { path = "status", equals = "healthy" }
at = { path = "at", kind = "instant", within_s = 60, moves = true, moves_after_s = 0.02 }
"""

SIGN_IN = """
[values]
email = "probe@example.test"
[[operations.sign_in.requests]]
url = "{api}/sign-in"
results.token = "token"
results.user = "user"
[[operations.session.requests]]
url = "{api}/me"
headers = { Authorization = "Bearer {sign_in.token}" }
results.user = "user"
[[operations.wrong_password.requests]]
method = "POST"
url = "{api}/sign-in-wrong"
json = { password = "{wrong_password}" }
accept = [401]
"""

PART = """
[allows]
writes = true
[parts]
small = ["bracket"]
over_limit = ["bracket-brep"]
invalid = ["inv-empty.step"]
[[operations.upload.requests]]
method = "POST"
url = "{api}/upload"
file = true
results.stored_bytes = "size"
[[operations.read_upload.requests]]
url = "{api}/file"
answer = "bytes"
[[operations.delete_upload.requests]]
method = "DELETE"
url = "{api}/delete"
answer = "none"
[[operations.analyse.requests]]
url = "{api}/analysis"
poll = { first_s = 0.01, most_s = 0.02, deadline_s = 0.2, pending_statuses = [202], failed = "error", reason = "error" }
results = { volume_mm3 = "v", area_mm2 = "a", bbox_mm = "box" }
"""

BRACKET = open_catalog().get("bracket")
assert BRACKET.geometry is not None
VOLUME = BRACKET.geometry.volume_mm3.value
ANALYSIS = {
    "v": VOLUME,
    "a": BRACKET.geometry.area_mm2.value,
    "box": list(BRACKET.geometry.bbox_mm),
}
UPLOADED = {"size": BRACKET.file_bytes}

Answer = object | Callable[[], object]


async def run_against(folder: Path, name: str, description: str, answers: Mapping[str, Answer]) -> Run:
    """One run of a built-in scenario against a server whose paths answer these values: JSON, bytes, statuses."""

    def route(answer: Answer) -> Callable[[web.Request], object]:
        async def handle(request: web.Request) -> web.Response:
            await request.read()
            return response_of(answer() if callable(answer) else answer)

        return handle

    routes = {path: route(answer) for path, answer in answers.items()}
    (folder / "small.toml").write_text(f'name = "small"\n[bases]\napi = "http://127.0.0.1:1"\n{description}', "utf-8")
    async with open_target(routes) as served, HttpEngine() as engine:  # type: ignore[arg-type] # coroutines, all of them
        target = load_target("small", environ={}, folders=(folder,), base_overrides={"api": served.url})
        environment = RunEnvironment(
            clock=SystemClock(), http=engine, target=target, catalog=open_catalog(), platform_factory=open_platform
        )
        return await run_built_in(name, environment)


def response_of(answer: object) -> web.Response:
    """Bytes as they are, a whole number as a bare status, anything else as JSON."""
    match answer:
        case bytes():
            return web.Response(body=answer)
        case bool() | None:
            return web.json_response(answer)
        case int():
            return web.Response(status=answer)
        case (int() as status, value):
            return web.json_response(value, status=status)
        case _:
            return web.json_response(answer)


def now() -> str:
    """The present instant."""
    return datetime.now(UTC).isoformat()


def healthy() -> object:
    """A service that is well."""
    return {"status": "healthy", "at": now()}


def expect_failure(run: Run, step: str, kind: FailureKind, words: str) -> None:
    """The run failed there, so, and says why."""
    assert run.failure is not None, describe(run)
    assert (run.outcome, run.failed_step, run.failure.kind) == (Outcome.FAIL, step, kind), describe(run)
    assert words in run.failure.message, describe(run)


async def test_wrong_passwords_that_are_held_off_are_refused(tmp_path: Path) -> None:
    """The probe tries them again and again, from every region: a platform that answers 429 to that is right."""
    answers = {"/sign-in": SIGNED_IN, "/me": SIGNED_IN, "/sign-in-wrong": 429}
    run = await run_against(tmp_path, "sign-in", SIGN_IN, answers)
    assert run.outcome is Outcome.PASS, describe(run)


async def test_a_healthy_answer_passes(tmp_path: Path) -> None:
    """The tests below fail for the reason that they name."""
    run = await run_against(tmp_path, "api-health", HEALTH, {"/health": healthy})
    assert run.outcome is Outcome.PASS, describe(run)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "expected a value, found None"),
        ({"status": "degraded", "at": "x"}, "found degraded"),
        ({"status": "healthy"}, "at: expected instant at at, found None"),
        ({"status": "healthy", "at": "yesterday"}, "an instant"),
        ({"status": "healthy", "at": "2001-01-01T00:00:00Z"}, "within 60 s"),
        (b"<html>fine</html>", "JSON"),
    ],
)
async def test_status_200_proves_nothing(answer: object, words: str, tmp_path: Path) -> None:
    """`null`, a missing field, an old instant, a page in place of an answer: all of them come with 200."""
    run = await run_against(tmp_path, "api-health", HEALTH, {"/health": answer})
    expect_failure(run, "api-health", FailureKind.ASSERTION, words)


async def test_a_frozen_clock_behind_a_200_is_noticed(tmp_path: Path) -> None:
    """An instant that is plausible but never moves is a constant, not a service."""
    frozen_at = now()
    answer = {"status": "healthy", "at": frozen_at}
    run = await run_against(tmp_path, "api-health", HEALTH, {"/health": answer})
    expect_failure(run, "api-health", FailureKind.ASSERTION, "later than")


SIGNED_IN = {"token": "t-123456", "user": "probe@example.test"}


@pytest.mark.parametrize(
    ("changed", "step", "kind", "words"),
    [
        ({"/sign-in-wrong": SIGNED_IN}, "wrong-password", FailureKind.ASSERTION, "signed in (200)"),
        ({"/sign-in-wrong": 500}, "wrong-password", FailureKind.STATUS, "answered 500"),
        ({"/me": {"user": "guest@example.test"}}, "session", FailureKind.ASSERTION, "guest@example.test"),
        ({"/me": 401}, "session", FailureKind.STATUS, "answered 401"),
        ({"/sign-in": {"user": "probe@example.test"}}, "sign-in", FailureKind.ASSERTION, "token"),
        ({"/sign-in": 429}, "sign-in", FailureKind.RATE_LIMITED, "429"),
    ],
)
async def test_a_door_without_a_lock_is_noticed(
    changed: Mapping[str, Answer], step: str, kind: FailureKind, words: str, tmp_path: Path
) -> None:
    """A fallback that lets everybody in, and a token that is somebody else's."""
    answers = {"/sign-in": SIGNED_IN, "/me": SIGNED_IN, "/sign-in-wrong": 401, **changed}
    expect_failure(await run_against(tmp_path, "sign-in", SIGN_IN, answers), step, kind, words)


GOOD = {"/upload": UPLOADED, "/file": BRACKET.path.read_bytes(), "/delete": 200, "/analysis": ANALYSIS}


@pytest.mark.parametrize(
    ("changed", "step", "kind", "words"),
    [
        ({"/upload": {"size": 1}}, "upload", FailureKind.ASSERTION, "stored bytes"),
        ({"/upload": (413, {"error": "too large"})}, "upload", FailureKind.STATUS, "refused with 413: too large"),
        ({"/analysis": (202, {})}, "analyse", FailureKind.TIMEOUT, "still not done 0.2 s after it began"),
        ({"/analysis": {"error": "out of memory"}}, "analyse", FailureKind.ASSERTION, "out of memory"),
        ({"/analysis": (400, {"error": "unreadable"})}, "analyse", FailureKind.STATUS, "unreadable"),
        ({"/analysis": {**ANALYSIS, "v": "27694.9"}}, "analyse", FailureKind.ASSERTION, "a number at v"),
        ({"/analysis": {**ANALYSIS, "v": VOLUME * 1e9}}, "analyse", FailureKind.ASSERTION, "1e+09 times"),
        ({"/analysis": {**ANALYSIS, "box": [60, 40]}}, "analyse", FailureKind.ASSERTION, "three extents"),
        ({"/analysis": {"v": 125000, "a": 17500, "box": [100, 50, 25]}}, "analyse", FailureKind.ASSERTION, "volume"),
        ({"/file": b"something else"}, "read-back", FailureKind.ASSERTION, "SHA-256"),
    ],
)
async def test_a_wrong_answer_about_a_part_is_found(
    changed: Mapping[str, Answer], step: str, kind: FailureKind, words: str, tmp_path: Path
) -> None:
    """The part is known; whatever differs from it is a failure with what was expected and found."""
    expect_failure(await run_against(tmp_path, "cad-small", PART, {**GOOD, **changed}), step, kind, words)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/put/7", "expected an absolute URL, found /put/7"),
        ("ftp://127.0.0.1/put", "expected an absolute URL"),
        ("http://[::1/put", "expected an absolute URL"),
    ],
)
async def test_an_address_from_the_platform_that_is_none_is_its_own_fault(
    address: str, words: str, tmp_path: Path
) -> None:
    """Nothing can be sent there, and that is no error of ours."""
    presigned = PART.replace(
        """[[operations.upload.requests]]
method = "POST"
url = "{api}/upload"
file = true
results.stored_bytes = "size"
""",
        """[[operations.upload.requests]]
url = "{api}/where"
results.address = "url"
[[operations.upload.requests]]
method = "PUT"
url = "{address}"
file = true
results.stored_bytes = "size"
""",
    )
    run = await run_against(tmp_path, "cad-small", presigned, {**GOOD, "/where": {"url": address}})
    expect_failure(run, "upload", FailureKind.ASSERTION, words)


@pytest.mark.parametrize("token", ["two\nlines", "snowman \u2603"])
async def test_a_token_that_no_header_can_carry_is_the_platforms_fault(token: str, tmp_path: Path) -> None:
    """It was handed out to be used."""
    answers = {"/sign-in": {**SIGNED_IN, "token": token}, "/me": SIGNED_IN, "/sign-in-wrong": 401}
    run = await run_against(tmp_path, "sign-in", SIGN_IN, answers)
    expect_failure(run, "session", FailureKind.ASSERTION, "a line of text that a header can carry")


async def test_a_file_that_cannot_be_deleted_is_listed_and_charges_nobody(tmp_path: Path) -> None:
    """Clean-up never changes the outcome, and never hides that it failed."""
    run = await run_against(tmp_path, "cad-small", PART, {**GOOD, "/delete": 500})
    assert run.outcome is Outcome.PASS, describe(run)
    assert [(effect.fate, effect.read_back) for effect in run.side_effects] == [("failed", True)]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"size": 13541}, FailureKind.ASSERTION, "found accepted"),
        ((413, {}), FailureKind.ASSERTION, "words for the customer"),
        (500, FailureKind.STATUS, "answered 500"),
        ((404, {"error": "no"}), FailureKind.STATUS, "answered 404"),
    ],
)
async def test_a_file_over_the_limit_must_be_refused_politely(
    answer: object, kind: FailureKind, words: str, tmp_path: Path
) -> None:
    """With one of the statuses that mean a refusal, and with words."""
    run = await run_against(tmp_path, "cad-over-limit", PART, {**GOOD, "/upload": answer})
    expect_failure(run, "refuse", kind, words)


async def test_a_polite_refusal_passes(tmp_path: Path) -> None:
    """With a status and words."""
    run = await run_against(tmp_path, "cad-over-limit", PART, {"/upload": (413, {"error": "at most 50 MB"})})
    assert run.outcome is Outcome.PASS, describe(run)


async def test_garbage_that_is_measured_is_found(tmp_path: Path) -> None:
    """An empty file has no volume."""
    run = await run_against(tmp_path, "cad-invalid", PART, {**GOOD, "/upload": {"size": 0}})
    expect_failure(run, "reject", FailureKind.ASSERTION, "expected a refusal, found measured")


async def test_a_missing_secret_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    """It is the operator's to set, names the variable and the key, and is no finding about the platform."""
    text = SIGN_IN.replace('url = "{api}/sign-in"', 'url = "{api}/sign-in"\nheaders = { A = "{secret.key}" }')
    text += '[secrets.key]\nenv = "NOT_SET"\n'
    with pytest.raises(OperatorError, match="NOT_SET") as caught:
        await run_against(tmp_path, "sign-in", text, {"/sign-in": SIGNED_IN})
    assert "small.toml:" in caught.value.where
