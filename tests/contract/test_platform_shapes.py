"""Every endpoint of the stand-in answers in the shape that the platform is known for."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

import pytest

from tests.platform_kit import FORM_BOUNDARY, Answer, StandIn, form_headers, form_of, part, start_stand_in, until

ERROR_KEYS = {"error", "code", "requestId", "traceId", "details", "timestamp", "path"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """One platform for the whole file."""
    with start_stand_in("--workers", "1") as found:
        yield found


@pytest.fixture(scope="module")
def bracket(stand_in: StandIn) -> str:
    """The path of an uploaded bracket that no test deletes."""
    return stand_in.uploaded(part("bracket").path, "bracket.step")


def refused(answer: Answer, status: int, code: str) -> bool:
    """True when the answer is an error of that status in the platform's shape."""
    return answer.status == status and set(answer.json) >= ERROR_KEYS and answer.at("code") == code


def test_health_is_a_constant_with_a_time(stand_in: StandIn) -> None:
    """The api's health names its service and the time; it asks nothing behind it."""
    answer = stand_in.call("GET", "api", "/health")
    assert (answer.status, answer.at("status"), answer.at("service")) == (200, "healthy", "cnc-quote-api")
    assert datetime.fromisoformat(answer.text("timestamp")).tzinfo


def test_the_other_sites_are_healthy_too(stand_in: StandIn) -> None:
    """The web site says OK, and says so as JSON; the CAD site names itself."""
    assert stand_in.call("GET", "web", "/health").body == b"OK"
    assert stand_in.call("GET", "web", "/api/health").json.items() >= {"ok": True, "service": "web"}.items()
    assert stand_in.call("GET", "cad", "/health").at("service") == "cnc-quote-cad"


def test_ids_are_taken_and_given_back(stand_in: StandIn) -> None:
    """A request id and a trace id come back as sent, in headers and error bodies."""
    answer = stand_in.call("GET", "api", "/no/such", headers={"X-Request-Id": "run-7", "X-Trace-Id": "trace-7"})
    assert (answer.headers["x-request-id"], answer.headers["x-trace-id"]) == ("run-7", "trace-7")
    assert (answer.at("requestId"), answer.at("traceId")) == ("run-7", "trace-7")


def test_the_trace_id_is_that_of_the_traceparent(stand_in: StandIn) -> None:
    """Without a trace id of its own, a request has that of its W3C trace context; the control site shows it."""
    header = f"00-{TRACE}-b7ad6b7169203331-01"
    answer = stand_in.call("GET", "api", "/health", headers={"traceparent": header})
    assert answer.headers["x-trace-id"] == TRACE
    seen = stand_in.stats().json["lastHeaders"]
    assert isinstance(seen, dict)
    assert seen["health.api"]["traceparent"] == header


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/no/such", 404, "NOT_FOUND"), ("DELETE", "/health", 405, "METHOD_NOT_ALLOWED")],
)
def test_an_unknown_place_answers_in_the_error_shape(
    stand_in: StandIn, method: str, path: str, status: int, code: str
) -> None:
    """Errors look the same everywhere, those of the router included."""
    answer = stand_in.call(method, "api", path)
    assert refused(answer, status, code), answer.body
    assert answer.at("path") == path


def test_every_answer_says_what_is_left_of_the_rate(stand_in: StandIn) -> None:
    """Limit, remaining and reset are there, and remaining falls by one."""
    left = [int(stand_in.call("GET", "web", "/health").headers["x-ratelimit-remaining"]) for _ in range(3)]
    # A minute may begin in between, once.
    assert any(before - after == 1 for before, after in itertools.pairwise(left))
    assert "x-ratelimit-reset" in stand_in.call("GET", "api", "/health").headers


def test_an_upload_says_what_was_stored_and_gives_it_back(stand_in: StandIn) -> None:
    """The answer has name, path, size and type; the same bytes come back; they are gone once deleted."""
    known = part("bracket-iges")
    answer = stand_in.upload(known.path, "run 1/../b racket.igs")
    assert (answer.status, answer.at("success"), answer.at("file.size")) == (201, True, known.file_bytes)
    assert answer.at("file.name") == "b_racket.igs"
    path = answer.text("file.path")
    assert path.startswith("uploads/")
    assert path.endswith("-b_racket.igs")
    back = stand_in.call("GET", "api", f"/storage/files/{path}")
    assert hashlib.sha256(back.body).hexdigest() == known.sha256
    assert stand_in.call("DELETE", "api", f"/storage/files/{path}").at("success") is True
    assert refused(stand_in.call("GET", "api", f"/storage/files/{path}"), 404, "NOT_FOUND")


def test_two_uploads_of_one_name_are_two_objects(stand_in: StandIn) -> None:
    """Even within one millisecond no upload takes another's place."""
    paths = {stand_in.uploaded(b"solid a\n", "same.stl") for _ in range(5)}
    assert len(paths) == 5


@pytest.mark.parametrize("name", ["part.txt", "part", "part.step.exe"])
def test_an_extension_that_is_not_cad_is_refused(stand_in: StandIn, name: str) -> None:
    """By the name alone, whatever is in the file."""
    answer = stand_in.upload(part("bracket").path, name)
    assert refused(answer, 400, "BAD_REQUEST"), answer.body


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"no form at all", form_headers()),
        (b"{}", {"Content-Type": "application/json"}),
        (form_of(b"x", "a.step", field_name="other"), form_headers()),
        (form_of(b"x" * 500, "a.step")[:-300], form_headers()),
    ],
)
def test_a_broken_form_is_refused(stand_in: StandIn, data: bytes, headers: dict[str, str]) -> None:
    """No form, no boundary, no file in it, an end that is missing: 400 each time, and nothing is kept."""
    made = stand_in.stats().at("made.objects")
    assert refused(stand_in.call("POST", "api", "/storage/upload", data=data, headers=headers), 400, "BAD_REQUEST")
    assert stand_in.stats().at("made.objects") == made


def test_fields_before_the_file_are_skipped(stand_in: StandIn) -> None:
    """A form may carry text fields before its file."""
    field = f'--{FORM_BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'.encode()
    form = field + form_of(b"solid a\n", "a.stl")
    answer = stand_in.call("POST", "api", "/storage/upload", data=form, headers=form_headers())
    assert (answer.status, answer.at("file.size")) == (201, 8)


def test_a_presigned_upload_takes_a_put(stand_in: StandIn) -> None:
    """The URL works for its object alone, and a changed signature is refused."""
    promised = stand_in.call("POST", "api", "/storage/upload-url", body={"fileName": "bracket.step"})
    assert promised.status == 201
    url = urlsplit(promised.text("uploadUrl"))
    content = part("bracket").path.read_bytes()
    wrong = stand_in.call("PUT", "api", f"{url.path}?{url.query[:-1]}x", data=content)
    assert refused(wrong, 403, "FORBIDDEN")
    assert stand_in.call("PUT", "api", f"{url.path}?{url.query}", data=content).status == 200
    path = promised.text("objectName")
    assert stand_in.analyse(path).number("metrics.volume") == pytest.approx(27.694885, rel=1e-6)
    assert refused(stand_in.call("POST", "api", "/storage/upload-url", body={"fileName": "a.txt"}), 400, "BAD_REQUEST")


def test_the_two_step_upload_checks_that_the_announced_bytes_came(stand_in: StandIn) -> None:
    """Initiate, PUT, complete; complete refuses before the bytes are there, and when they are too few."""
    content = part("bracket").path.read_bytes()
    announced = {"filename": "bracket.step", "size": len(content), "content_type": "model/step"}
    assert refused(stand_in.call("POST", "api", "/api/files/initiate", body=announced), 401, "UNAUTHORIZED")
    begun = stand_in.call("POST", "api", "/api/files/initiate", body=announced, signed_in=True)
    url, done = urlsplit(begun.text("upload.url")), f"/api/files/{begun.text('file.id')}/complete"
    assert refused(stand_in.call("POST", "api", done, signed_in=True), 409, "CONFLICT")
    stand_in.call("PUT", "api", f"{url.path}?{url.query}", data=content[:-1])
    assert refused(stand_in.call("POST", "api", done, signed_in=True), 409, "CONFLICT")
    stand_in.call("PUT", "api", f"{url.path}?{url.query}", data=content)
    complete = stand_in.call("POST", "api", done, signed_in=True)
    assert (complete.status, complete.at("file.status"), complete.at("file.size")) == (200, "complete", len(content))


def test_an_unknown_analysis_is_in_progress_for_ever(stand_in: StandIn) -> None:
    """As on the real platform, 202 says nothing about whether there is such a task."""
    answer = stand_in.call("GET", "cad", "/analyze/no-such-task")
    assert (answer.status, answer.at("detail")) == (202, "Analysis in progress")


def test_an_analysis_of_a_file_that_is_not_there_is_refused(stand_in: StandIn) -> None:
    """404 for a path that nobody uploaded, 400 for a URL of somebody else: nothing is fetched from outside."""
    missing = stand_in.call("POST", "cad", "/analyze/", body={"file_id": "uploads/1-none.step"})
    assert refused(missing, 404, "NOT_FOUND")
    outside = {"file_id": "x", "file_url": "http://127.0.0.1:1/part.step"}
    assert refused(stand_in.call("POST", "cad", "/analyze/", body=outside), 400, "BAD_REQUEST")


def test_manufacturability_goes_from_queued_to_complete(stand_in: StandIn, bracket: str) -> None:
    """States and progress are the documented ones; the result has a state for every check."""
    made = stand_in.call("POST", "api", "/dfm/requests", body={"file_id": bracket, "material": "alu-6061"})
    assert made.status == 201
    place, seen = f"/dfm/requests/{made.text('id')}", list[tuple[str, float]]()

    def complete() -> bool:
        status = stand_in.call("GET", "api", f"{place}/status")
        seen.append((status.text("status"), status.number("progress")))
        return seen[-1][0] == "Complete"

    until(complete, "result of the checks")
    assert {state for state, _ in seen} <= {"Queued", "Analyzing", "Complete"}
    assert [progress for _, progress in seen] == sorted(progress for _, progress in seen)
    assert seen[-1][1] == 100
    checks = stand_in.call("GET", "api", f"{place}/result").at("checks")
    assert isinstance(checks, list)
    assert len(checks) == 9
    assert {check["state"] for check in checks} <= {"pass", "warning", "blocker"}


def test_sign_in_takes_the_right_password_only(stand_in: StandIn) -> None:
    """200 with user, token and cookie; 401 for a wrong password, a wrong account, and a token that nobody was given."""
    good = stand_in.sign_in("probe-password")
    assert (good.at("user.email"), good.at("session.expires_in")) == ("probe@example.test", 3600)
    assert "session=" in good.headers["set-cookie"]
    assert refused(stand_in.sign_in("wrong"), 401, "UNAUTHORIZED")
    assert refused(stand_in.sign_in("probe-password", email="other@example.test"), 401, "UNAUTHORIZED")
    me = stand_in.call("GET", "api", "/api/auth/me", signed_in=True)
    assert me.at("user.email") == "probe@example.test"
    for header in ({}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic cHJvYmU="}):
        assert refused(stand_in.call("GET", "api", "/api/auth/me", headers=header), 401, "UNAUTHORIZED")


def test_a_price_keeps_its_promises(stand_in: StandIn) -> None:
    """Above zero, total is unit price times quantity to the cent, more pieces never cost more each, and twice the same."""
    answer = stand_in.price(quantities=[1000, 1, 7, 10, 100])
    assert (answer.status, answer.at("currency"), answer.at("total_parts")) == (201, "USD", 10)
    assert answer.number("subtotal") == answer.number("lines.0.total_price") > 0
    tiers = answer.at("lines.0.price_tiers")
    assert isinstance(tiers, list)
    assert [tier["quantity"] for tier in tiers] == [1, 7, 10, 100, 1000]
    for tier in tiers:
        assert round(tier["unit_price"] * tier["quantity"], 2) == tier["total_price"]
    assert all(one["unit_price"] >= two["unit_price"] for one, two in itertools.pairwise(tiers))
    assert stand_in.price(quantities=[1000, 1, 7, 10, 100]).at("lines") == answer.at("lines")


def test_the_price_follows_volume_features_and_material(stand_in: StandIn) -> None:
    """It is computed: more material, more holes or steel cost more; a material that nobody knows costs 0 and says so."""
    base = stand_in.price().number("subtotal")
    assert stand_in.price(volume_cc=40.0).number("subtotal") > base
    assert stand_in.price(features={"holes": 9, "pockets": 1}).number("subtotal") > base
    assert stand_in.price(material_code="SS-304").number("subtotal") > base
    unknown = stand_in.price(material_code="UNOBTAINIUM")
    assert (unknown.status, unknown.at("subtotal")) == (201, 0)
    assert unknown.text("lines.0.notes.0")


def test_a_price_needs_sign_in_and_a_sound_body(stand_in: StandIn) -> None:
    """401 without a token; 400 with the place that is wrong for a quantity of 0 or a volume that is no number."""
    bare = stand_in.call("POST", "api", "/api/quotes/preview-multipart", body={"currency": "USD", "parts": []})
    assert refused(bare, 401, "UNAUTHORIZED")
    for changes in ({"quantity": 0}, {"volume_cc": -1}, {"quantities": [0]}, {"volume_cc": "much"}):
        answer = stand_in.price(**changes)
        assert refused(answer, 400, "BAD_REQUEST"), answer.body


def test_a_quote_is_priced_from_the_file_and_can_be_deleted_by_its_owner(stand_in: StandIn, bracket: str) -> None:
    """A draft with the totals of its lines; its owner reads and deletes it, nobody else sees it."""
    made = stand_in.quote(bracket)
    assert (made.status, made.at("status"), made.at("currency")) == (201, "draft", "USD")
    assert made.number("total") == made.number("parts.0.total_price") > 0
    assert made.number("total") == stand_in.price().number("subtotal")
    place = f"/api/quotes/{made.text('id')}"
    read = stand_in.call("GET", "api", place, signed_in=True)
    assert {key: read.at(key) for key in ("id", "total", "status")} == {
        "id": made.at("id"),
        "total": made.at("total"),
        "status": "draft",
    }
    assert refused(stand_in.call("GET", "api", place), 404, "NOT_FOUND")
    assert refused(stand_in.call("DELETE", "api", place), 404, "NOT_FOUND")
    assert stand_in.call("DELETE", "api", place, signed_in=True).at("success") is True
    assert refused(stand_in.call("GET", "api", place, signed_in=True), 404, "NOT_FOUND")


def test_a_test_payment_settles_the_amount_of_its_quote(stand_in: StandIn, bracket: str) -> None:
    """Checkout, approval, read back: the quote's own amount; a quote is paid once, and is no draft any more."""
    quote = stand_in.quote(bracket)
    wanted = {"quoteId": quote.text("id")}
    opened = stand_in.call("POST", "api", "/payments/create-checkout-session", body=wanted, signed_in=True)
    assert (opened.status, opened.at("provider"), opened.at("amount")) == (201, "test", quote.at("total"))
    order = f"/payments/orders/{opened.text('orderId')}"
    assert stand_in.call("GET", "api", order).at("status") == "CREATED"
    assert stand_in.call("POST", "api", f"{order}/test-approve").status == 200
    settled = stand_in.call("GET", "api", order).json
    assert settled.items() >= {"status": "COMPLETED", "amount": quote.at("total"), "currency": "USD", **wanted}.items()
    again = stand_in.call("POST", "api", "/payments/create-checkout-session", body=wanted, signed_in=True)
    assert refused(again, 409, "CONFLICT")
    delete = stand_in.call("DELETE", "api", f"/api/quotes/{quote.text('id')}", signed_in=True)
    assert refused(delete, 409, "CONFLICT")


def test_the_control_site_counts_what_was_made_and_deleted(stand_in: StandIn) -> None:
    """A test can see from outside whether a probe cleaned up after itself."""
    before = stand_in.stats()
    path = stand_in.uploaded(part("bracket").path, "bracket.step")
    quote = stand_in.quote(path).text("id")
    stand_in.call("DELETE", "api", f"/api/quotes/{quote}", signed_in=True)
    stand_in.call("DELETE", "api", f"/storage/files/{path}")
    after = stand_in.stats()
    for kind in ("objects", "quotes"):
        for deed in ("made", "deleted"):
            assert after.number(f"{deed}.{kind}") - before.number(f"{deed}.{kind}") == 1
    routes = after.json["routes"]
    assert isinstance(routes, dict)
    assert routes["upload.multipart"]["statuses"]["201"] >= 1


def test_the_widget_may_call_the_other_sites_and_nobody_else_may(stand_in: StandIn) -> None:
    """Preflights and answers name the web site's origin only."""
    asked = {"Access-Control-Request-Method": "POST"}
    own = stand_in.call("OPTIONS", "api", "/storage/upload", headers=asked | {"Origin": stand_in.urls["web"]})
    assert (own.status, own.headers["access-control-allow-origin"]) == (204, stand_in.urls["web"])
    other = stand_in.call("GET", "api", "/health", headers={"Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in other.headers
