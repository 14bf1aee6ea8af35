"""Who may see pages and change things: loopback, tokens, sessions, proof of intent, floods, and headers on every answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from collector.store import open_store
from collector.web.server import open_pages
from probes.errors import DependencyError, OperatorError
from tests.clock import JumpingClock
from tests.free_ports import free_port
from tests.web_kit import READ, WRITE, Pages, open_site, site_over

STRANGER = "status.example"
TOKENS = {"read_tokens": {"desk": READ}, "operate_tokens": {"oncall": WRITE}}


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[Pages]:
    """Pages with a token of each kind, and a clock that stands still."""
    async with open_site(tmp_path, clock=JumpingClock(), **TOKENS) as opened:
        yield opened


async def test_this_host_reads_without_a_token(pages: Pages) -> None:
    """A person at the machine needs nothing, under any name of loopback."""
    for host in ("", "localhost", "localhost:8780", "[::1]:8780", "127.0.0.2"):
        assert (await pages.ask("/", host=host)).status == 200


@pytest.mark.parametrize("host", [STRANGER, "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "0x7f.1"])
async def test_a_name_of_another_host_is_a_stranger_even_on_loopback(pages: Pages, host: str) -> None:
    """A site that has its name point here reads nothing through somebody's browser."""
    answer = await pages.ask("/?a=b&c=d", host=host)
    assert answer.status == 303
    assert URL(answer.headers["Location"]) == URL("/login").with_query(next="/?a=b&c=d")


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_what_a_proxy_passes_on_is_not_this_host(pages: Pages, name: str) -> None:
    """A proxy beside the collector does not let everybody in."""
    assert (await pages.ask("/", headers={name: "203.0.113.7"})).status == 303


async def test_with_a_public_address_loopback_needs_a_token_too(tmp_path: Path) -> None:
    """For then somebody passes others on, and not every proxy says so."""
    async with open_site(tmp_path, public_url="https://status.example", **TOKENS) as pages:
        assert (await pages.ask("/")).status == 303
        assert (await pages.ask("/", headers={"Authorization": f"Bearer {READ}"})).status == 200


@pytest.mark.parametrize("token", [READ, WRITE])
async def test_a_token_in_the_header_reads(pages: Pages, token: str) -> None:
    """Programs need no session."""
    assert (await pages.ask("/", host=STRANGER, headers={"Authorization": f"Bearer {token}"})).status == 200


@pytest.mark.parametrize(
    "given", ["Bearer wrong", "Bearer ", "Bearer", f"Basic {READ}", f"Bearer {READ}x", "Bearer \xff"]
)
async def test_a_wrong_token_is_refused_wherever_it_comes_from(pages: Pages, given: str) -> None:
    """Also on loopback: who shows a token means to be judged by it."""
    answer = await pages.ask("/", headers={"Authorization": given})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_token_given_once_is_a_session(pages: Pages) -> None:
    """In a cookie that no script reads and no other site sends; leaving ends it."""
    form = await pages.ask("/login?next=%2Falerts", host=STRANGER)
    given = {"csrf": form.csrf(), "token": READ, "next": "/alerts"}
    entered = await pages.ask("/login", "POST", host=STRANGER, data=given)
    assert (entered.status, entered.headers["Location"]) == (303, "/alerts")
    cookie = entered.cookies["fleet_session"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    mine = {"Cookie": cookie.partition(";")[0]}
    page = await pages.ask("/", host=STRANGER, headers=mine)
    assert page.status == 200
    left = await pages.ask("/logout", "POST", host=STRANGER, headers=mine, data={"csrf": page.csrf()})
    assert left.status == 303
    assert (await pages.ask("/", host=STRANGER, headers=mine)).status == 303


async def test_a_session_is_secure_where_people_come_over_tls(tmp_path: Path) -> None:
    """The browser then never sends it in the clear."""
    async with open_site(tmp_path, public_url="https://status.example", **TOKENS) as pages:
        form = await pages.ask("/login", host=STRANGER)
        entered = await pages.ask("/login", "POST", host=STRANGER, data={"csrf": form.csrf(), "token": READ})
        assert "Secure" in entered.cookies["fleet_session"]


async def test_sessions_end_by_themselves(tmp_path: Path) -> None:
    """After twelve hours."""
    clock = JumpingClock()
    async with open_site(tmp_path, clock=clock, **TOKENS) as pages:
        form = await pages.ask("/login", host=STRANGER)
        entered = await pages.ask("/login", "POST", host=STRANGER, data={"csrf": form.csrf(), "token": WRITE})
        mine = {"Cookie": entered.cookies["fleet_session"].partition(";")[0]}
        clock.advance(12 * 3600 - 1)
        assert (await pages.ask("/", host=STRANGER, headers=mine)).status == 200
        clock.advance(2)
        assert (await pages.ask("/", host=STRANGER, headers=mine)).status == 303


@pytest.mark.parametrize(
    "where", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"]
)
async def test_after_a_login_nobody_is_led_elsewhere(pages: Pages, where: str) -> None:
    """A link to us with such a `next` ends on our first page."""
    form = await pages.ask("/login", host=STRANGER)
    given = {"csrf": form.csrf(), "token": READ, "next": where}
    entered = await pages.ask("/login", "POST", host=STRANGER, data=given)
    assert entered.headers["Location"] == "/"


async def test_passwords_cannot_be_tried_many_times(pages: Pages) -> None:
    """Ten, and then no more until time has passed; the right one neither."""
    form = await pages.ask("/login", host=STRANGER)
    tries = [
        (
            await pages.ask("/login", "POST", host=STRANGER, data={"csrf": form.csrf(), "token": f"guess {number}"})
        ).status
        for number in range(12)
    ]
    assert tries == [403] * 10 + [429] * 2
    late = await pages.ask("/login", "POST", host=STRANGER, data={"csrf": form.csrf(), "token": READ})
    assert late.status == 429
    assert int(late.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_cannot_send_our_forms(pages: Pages, headers: dict[str, str]) -> None:
    """Not even with the right proof in it."""
    form = await pages.ask("/login", host=STRANGER)
    given = {"csrf": form.csrf(), "token": READ}
    assert (await pages.ask("/login", "POST", host=STRANGER, data=given, headers=headers)).status == 403


@pytest.mark.parametrize("proof", ["", "wrong", "é"])
async def test_a_form_without_its_proof_changes_nothing(pages: Pages, proof: str) -> None:
    """Neither does one with another page's."""
    assert (await pages.ask("/login", "POST", data={"csrf": proof, "token": READ})).status == 403


async def test_every_answer_says_what_browsers_may_do_with_it(pages: Pages) -> None:
    """Pages, errors, files and refusals alike; nothing inline, nothing framed, nothing guessed."""
    style = (await pages.ask("/")).text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    for path in ("/", "/nope", style, "/login", "/static/x/../../../../etc/passwd"):
        headers = (await pages.ask(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Server" not in headers


@pytest.mark.parametrize(
    "path", ["/static/x/style.css", "/static/x/..%2f..%2fsite.py", "/static/..%2f/x", "/static//etc/passwd"]
)
async def test_files_are_found_by_name_and_digest_alone(pages: Pages, path: str) -> None:
    """No path leads out of the folder, for there are no paths."""
    assert (await pages.ask(path)).status == 404


async def test_a_flood_is_refused_and_everybody_else_is_served(tmp_path: Path) -> None:
    """A peer that asks for hundreds of pages at once is told to wait, cheaply, and may go on when it has."""
    clock = JumpingClock()
    async with open_site(tmp_path, clock=clock, **TOKENS) as pages:
        told = [(await pages.ask("/nope")).status for _ in range(302)]
        assert told == [404] * 300 + [429] * 2
        clock.advance(1)
        assert (await pages.ask("/")).status == 200


async def test_too_much_is_not_read(pages: Pages) -> None:
    """A body beyond 64 KiB ends in 413, a path beyond 8 kB in 400; neither in a stack trace."""
    form = await pages.ask("/login")
    big = {"csrf": form.csrf(), "token": "x" * 100_000}
    answer = await pages.ask("/login", "POST", data=big)
    assert answer.status == 413
    assert "Traceback" not in answer.text
    assert (await pages.ask("/" + "a" * 9_000)).status in {400, 414}


async def test_without_tokens_strangers_are_told_how_to_make_some(tmp_path: Path) -> None:
    """And get nothing else."""
    async with open_site(tmp_path) as pages:
        assert "read_tokens" in (await pages.ask("/login", host=STRANGER)).text
        assert (await pages.ask("/", host=STRANGER)).status == 303


async def test_a_port_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    """With the place and the setting; a word that is no place is the operator's."""
    async with open_store(str(tmp_path / "store.db")) as store:
        listen = f"127.0.0.1:{free_port()}"
        async with open_pages(site_over(store), listen):
            with pytest.raises(DependencyError, match=r"pages\.listen|cannot be served"):
                async with open_pages(site_over(store), listen):
                    pass
        with pytest.raises(OperatorError):
            async with open_pages(site_over(store), "8780"):
                pass
