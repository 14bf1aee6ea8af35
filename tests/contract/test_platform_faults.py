"""Each named fault does what its row says, to whom it says, and nothing once it is off."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform_kit import StandIn, form_headers, form_of, part, start_stand_in, until

SITES = ("api", "web", "cad", "host")


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """One platform for the whole file; each test leaves it without faults."""
    with start_stand_in("--workers", "1") as found:
        yield found


@pytest.fixture(scope="module")
def bracket(stand_in: StandIn) -> str:
    """The path of an uploaded bracket."""
    return stand_in.uploaded(part("bracket").path, "bracket.step")


def is_refused(stand_in: StandIn, site: str) -> bool:
    """True when nobody listens at the site."""
    with contextlib.closing(stand_in.connection(site)) as connection:
        try:
            connection.connect()
        except ConnectionRefusedError:
            return True
    return False


def ask_again(connection: http.client.HTTPConnection) -> None:
    """Another request on the same connection. That it was reset is told while this is sent, or only after that."""
    connection.request("GET", "/health")
    connection.getresponse()


def statuses(stand_in: StandIn, count: int) -> list[int]:
    """The statuses of so many requests in a row."""
    return [stand_in.call("GET", "api", "/health").status for _ in range(count)]


def send_while_taken(connection: http.client.HTTPConnection, body: bytes, *, least: int) -> int:
    """Send `least` bytes, then until nothing is taken for a second, or all of it; how much was sent."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < len(body):
            connection.sock.settimeout(60.0 if sent < least else 1.0)
            sent += connection.sock.send(body[sent : sent + 1_000_000])
    return sent


def broken_uploads(stand_in: StandIn) -> int:
    """How many uploads ended without an answer so far."""
    routes = stand_in.stats().at("routes")
    assert isinstance(routes, dict)
    statuses = routes.get("upload.multipart", {"statuses": {}})["statuses"]
    return int(statuses.get("0", 0))


def test_slow_holds_back_the_named_route_only(stand_in: StandIn) -> None:
    """A fixed delay is there in full on its route, and not on another."""
    with stand_in.fault("slow", route="price", ms=400):
        begun = time.monotonic()
        assert stand_in.price().status == 201
        assert time.monotonic() - begun >= 0.4
        stand_in.call("GET", "api", "/health")
        assert stand_in.call("GET", "control", "/faults").at("hit") == {"slow": 1}


def test_error_5xx_answers_the_chosen_status_in_the_error_shape(stand_in: StandIn) -> None:
    """Everywhere by default, on one route when named."""
    with stand_in.fault("error-5xx", status=502):
        for site in SITES:
            answer = stand_in.call("GET", site, "/health")
            assert (answer.status, answer.at("code")) == (502, "BAD_GATEWAY")
    with stand_in.fault("error-5xx", route="price"):
        assert stand_in.price().status == 503
        assert stand_in.call("GET", "api", "/health").status == 200


def test_refuse_closes_the_sockets_and_keeps_the_ports(stand_in: StandIn) -> None:
    """Connections are refused at the chosen sites, an open one is reset; afterwards the same ports answer again."""
    with contextlib.closing(stand_in.connection("api")) as kept:
        kept.request("GET", "/health")
        assert kept.getresponse().read()
        with stand_in.fault("refuse", site="api"):
            assert [is_refused(stand_in, site) for site in SITES] == [True, False, False, False]
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                ask_again(kept)
    with stand_in.fault("refuse"):
        assert all(is_refused(stand_in, site) for site in SITES)
    assert [stand_in.call("GET", site, "/").status for site in SITES] == [404, 404, 404, 200]


def test_reset_mid_upload_breaks_the_connection_in_the_body(stand_in: StandIn) -> None:
    """The sender gets a reset, no answer; nothing is stored."""
    made = stand_in.stats().at("made.objects")
    with stand_in.fault("reset-mid-upload"), pytest.raises((ConnectionResetError, BrokenPipeError)):
        stand_in.upload(b"x" * 20_000_000, "part.step")
    with stand_in.fault("reset-mid-upload"), pytest.raises(ConnectionResetError):
        stand_in.upload(b"x" * 2_000, "part.step")
    assert stand_in.stats().at("made.objects") == made


def test_stall_stops_taking_bytes_and_never_answers(stand_in: StandIn) -> None:
    """The sender's own buffers fill up, then nothing moves; other requests go on."""
    broken = broken_uploads(stand_in)
    form = form_of(b"x" * 50_000_000, "part.step")
    with stand_in.fault("stall"), contextlib.closing(stand_in.connection("api")) as connection:
        connection.putrequest("POST", "/storage/upload")
        for name, value in {**form_headers(), "Content-Length": str(len(form))}.items():
            connection.putheader(name, value)
        connection.endheaders()
        sent = send_while_taken(connection, form, least=25_000_000)
        assert 25_000_000 <= sent < len(form)
        assert stand_in.call("GET", "api", "/health").status == 200
    until(lambda: broken_uploads(stand_in) == broken + 1, "end of the stalled upload")


def test_health_lies_takes_everything_down_but_health(stand_in: StandIn) -> None:
    """Health stays fine on all three sites while sign-in, widget and analyses answer 503."""
    with stand_in.fault("health-lies"):
        assert [stand_in.call("GET", site, "/health").status for site in ("api", "web", "cad")] == [200, 200, 200]
        assert stand_in.sign_in("probe-password").status == 503
        assert stand_in.call("GET", "web", "/widget/quote").status == 503
        assert stand_in.call("GET", "cad", "/analyze/1").status == 503


def test_null_health_answers_null(stand_in: StandIn) -> None:
    """Status 200 and the body `null`, at the chosen site."""
    with stand_in.fault("null-health"):
        assert [stand_in.call("GET", site, "/health").body for site in ("api", "cad")] == [b"null", b"null"]
    with stand_in.fault("null-health", site="cad"):
        assert stand_in.call("GET", "cad", "/health").body == b"null"
        assert stand_in.call("GET", "api", "/health").at("status") == "healthy"


def test_wrong_geometry_is_wrong_by_a_billion(stand_in: StandIn, bracket: str) -> None:
    """The volume only; the rest of the answer stays right."""
    right = stand_in.analyse(bracket)
    with stand_in.fault("wrong-geometry"):
        wrong = stand_in.analyse(bracket)
    assert wrong.number("metrics.volume") == pytest.approx(right.number("metrics.volume") * 1e9)
    assert wrong.at("metrics.bbox") == right.at("metrics.bbox")


def test_stub_geometry_is_always_the_same_box(stand_in: StandIn) -> None:
    """Two different parts get one answer: 100 x 50 x 25 mm; a bad file is still refused."""
    with stand_in.fault("stub-geometry"):
        paths = [stand_in.uploaded(part(name).path, f"{name}.step") for name in ("clean_block", "tiny")]
        answers = [stand_in.analyse(path) for path in paths]
        assert answers[0].at("metrics") == answers[1].at("metrics")
        assert answers[0].number("metrics.volume") == 125.0
        assert answers[0].at("metrics.bbox.max") == {"x": 100.0, "y": 50.0, "z": 25.0}
        assert stand_in.analyse(stand_in.uploaded(b"garbage", "bad.step")).status == 400


def test_never_finishes_says_in_progress_after_the_work_is_done(stand_in: StandIn, bracket: str) -> None:
    """The result is there once the fault is off, so it was there all along."""
    started = stand_in.call("POST", "cad", "/analyze/", body={"file_id": bracket})
    place = f"/analyze/{started.text('task_id')}"
    stand_in.poll(lambda: stand_in.call("GET", "cad", place), lambda answer: answer.status == 200)
    with stand_in.fault("never-finishes"):
        assert stand_in.call("GET", "cad", place).status == 202
    assert stand_in.call("GET", "cad", place).status == 200


def test_zero_price_costs_nothing(stand_in: StandIn, bracket: str) -> None:
    """201 and every amount 0, in previews and quotes."""
    with stand_in.fault("zero-price"):
        price, quote = stand_in.price(), stand_in.quote(bracket)
    assert (price.status, price.at("subtotal"), price.at("lines.0.price_tiers.2.unit_price")) == (201, 0, 0)
    assert (quote.status, quote.at("total")) == (201, 0)


def test_wrong_price_breaks_one_promise_at_a_time(stand_in: StandIn) -> None:
    """Mode total: totals are not unit price times quantity. Mode tiers: they are, but more pieces cost more each."""
    with stand_in.fault("wrong-price"):
        wrong = stand_in.price()
        assert wrong.number("lines.0.total_price") > wrong.number("lines.0.unit_price") * 10 + 1
    with stand_in.fault("wrong-price", mode="tiers"):
        tiers = stand_in.price().at("lines.0.price_tiers")
    assert isinstance(tiers, list)
    assert tiers[0]["unit_price"] < tiers[1]["unit_price"] < tiers[2]["unit_price"]
    assert all(tier["total_price"] == pytest.approx(tier["unit_price"] * tier["quantity"]) for tier in tiers)


def test_rate_limit_answers_429_on_its_route(stand_in: StandIn) -> None:
    """With Retry-After, nothing remaining, and the platform's error shape; other routes stay open."""
    with stand_in.fault("rate-limit", retry_after_s=7):
        answer = stand_in.price()
        assert (answer.status, answer.at("code")) == (429, "RATE_LIMITED")
        assert (answer.headers["retry-after"], answer.headers["x-ratelimit-remaining"]) == ("7", "0")
        assert stand_in.call("GET", "api", "/health").status == 200
    with stand_in.fault("rate-limit", route="all"):
        assert stand_in.call("GET", "api", "/health").status == 429


def test_accepts_garbage_takes_quotes_and_prices_what_is_no_part(stand_in: StandIn, bracket: str) -> None:
    """Any name and any bytes end in an analysis and a quote; a valid part is still measured right."""
    with stand_in.fault("accepts-garbage"):
        path = stand_in.uploaded(b"this is not a CAD file\n", "part.txt")
        assert stand_in.analyse(path).number("metrics.volume") == 1.0
        assert stand_in.quote(path).number("total") > 0
        assert stand_in.analyse(bracket).number("metrics.volume") == pytest.approx(27.694885, rel=1e-6)
    assert stand_in.quote(path).status == 400


def test_rejects_valid_refuses_a_good_part(stand_in: StandIn, bracket: str) -> None:
    """400 with a reason, in the shape of an unreadable file."""
    with stand_in.fault("rejects-valid"):
        answer = stand_in.analyse(bracket)
    assert answer.status == 400
    assert answer.text("detail")


@pytest.mark.parametrize(
    ("limit", "taken", "refused"),
    [(None, 52_428_800, 52_428_801), (52_428_801, 52_428_801, 52_428_802), (52_428_798, 52_428_798, 52_428_799)],
)
def test_the_limit_is_kept_to_the_byte(stand_in: StandIn, limit: int | None, taken: int, refused: int) -> None:
    """52,428,800 bytes are taken and one more is not; the fault moves that border exactly to where it says."""
    fault = stand_in.fault("limit-off-by-one", limit_bytes=limit) if limit else contextlib.nullcontext()
    with fault:
        for size, status in ((taken, 201), (refused, 413)):
            answer = stand_in.upload(bytes(size), "big.stl")
            assert (answer.status, len(answer.body) > 0) == (status, True), answer.body
            if status == 201:
                stand_in.call("DELETE", "api", f"/storage/files/{answer.text('file.path')}")


def test_auth_fallback_lets_a_wrong_password_in(stand_in: StandIn) -> None:
    """And the token that it gives is good."""
    with stand_in.fault("auth-fallback"):
        answer = stand_in.sign_in("wrong")
    assert answer.status == 200
    token = {"Authorization": f"Bearer {answer.text('session.access_token')}"}
    assert stand_in.call("GET", "api", "/api/auth/me", headers=token).status == 200


def test_the_widget_faults_spoil_its_page_alone(stand_in: StandIn) -> None:
    """Blank holds no control, refused forbids framing, js-error says so to the script; the host's page stays as it was."""
    host = stand_in.call("GET", "host", "/").body
    good = stand_in.call("GET", "web", "/widget/quote")
    assert b"upload-button" in good.body
    assert "x-frame-options" not in good.headers
    with stand_in.fault("widget-blank"):
        assert b"<script" not in stand_in.call("GET", "web", "/widget/quote").body
    with stand_in.fault("widget-refused"):
        assert stand_in.call("GET", "web", "/widget/quote").headers["x-frame-options"] == "DENY"
    with stand_in.fault("widget-js-error"):
        assert b'"throws": true' in stand_in.call("GET", "web", "/widget/quote").body
        assert stand_in.call("GET", "host", "/").body == host


def test_a_rate_hits_the_same_requests_every_time(stand_in: StandIn) -> None:
    """One seed, one pattern; another seed, another one; about the wanted share is hit."""
    runs = []
    for seed in (1, 1, 2):
        with stand_in.fault("error-5xx", rate=0.3, seed=seed, route="health"):
            runs.append(statuses(stand_in, 60))
    assert runs[0] == runs[1] != runs[2]
    assert 6 <= runs[0].count(503) <= 30


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ({"name": "slwo"}, "did you mean 'slow'"),
        ({"name": "slow", "args": {"mss": 5}}, "did you mean 'ms'"),
        ({"name": "slow", "args": {"dist": "normal"}}, "fixed, uniform, lognormal"),
        ({"name": "slow", "rate": 0}, "above 0"),
        ({"name": "refuse", "rate": 0.5}, "takes no rate"),
        ({"name": "tls-expired"}, "--tls"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_and_changes_nothing(
    stand_in: StandIn, fault: dict[str, object], hint: str
) -> None:
    """400 that names the mistake; the plan before it stays in force."""
    with stand_in.fault("null-health"):
        answer = stand_in.call("PUT", "control", "/faults", body={"faults": [fault]})
        assert (answer.status, hint in answer.text("error")) == (400, True), answer.body
        assert stand_in.call("GET", "api", "/health").body == b"null"


def test_the_control_site_lists_every_fault_with_its_promise(stand_in: StandIn) -> None:
    """And the reference page has a row for each of them."""
    known = stand_in.call("GET", "control", "/faults/known").at("faults")
    assert isinstance(known, list)
    assert len(known) == 27
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "stand-in.md").read_text()
    assert [row["name"] for row in known if f"| `{row['name']}` |" not in page] == []
    assert all(row["promise"].endswith(".") for row in known)


def test_a_length_that_is_too_large_is_refused_before_the_body(stand_in: StandIn) -> None:
    """The answer comes while nothing but the headers has been sent, and the connection is closed."""
    with contextlib.closing(stand_in.connection("api")) as connection:
        connection.putrequest("POST", "/storage/upload")
        for name, value in {**form_headers(), "Content-Length": str(200 * 1024 * 1024)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (413, "close")


def test_a_body_without_a_length_is_refused_at_the_first_byte_too_many(stand_in: StandIn) -> None:
    """A chunked body has no length to believe; what counts is what arrives."""
    with contextlib.closing(stand_in.connection("api")) as connection:
        pieces = (form_of(bytes(1_000_000), "big.stl")[:1_000_000] for _ in range(60))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/storage/upload", body=pieces, headers=form_headers(), encode_chunked=True)
        answer = connection.getresponse()
        assert isinstance(answer, http.client.HTTPResponse)
        assert answer.status == 413
