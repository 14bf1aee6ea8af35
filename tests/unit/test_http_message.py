"""URLs, heads and headers: what is written on the wire, and what is refused before it gets there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import OperatorError
from probes.http_body import BytesBody, FileBody
from probes.http_message import Headers, merge_headers, parse_url, render_head
from probes.http_redirect import Hop, next_hop


def head_of(url: str = "http://host.test/", headers: dict[str, str] | None = None, method: str = "GET") -> str:
    """A rendered head as text."""
    return render_head(method, parse_url(url), merge_headers(headers or {}), body_bytes=None, keep=False).decode()


@given(before=st.text(), control=st.sampled_from("\r\n\0\x0b\x7f"), after=st.text())
def test_a_line_break_in_a_header_value_is_refused(before: str, control: str, after: str) -> None:
    """Nobody can smuggle a header or a request through a value."""
    with pytest.raises(OperatorError, match="x-thing"):
        head_of(headers={"X-Thing": before + control + after})


@pytest.mark.parametrize("name", ["a b", "a:b", "a\r\nb", "", "\u00e4"])
def test_a_header_name_that_is_no_token_is_refused(name: str) -> None:
    """Names are tokens."""
    with pytest.raises(OperatorError, match="not a header name"):
        head_of(headers={name: "1"})


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Expect"])
def test_headers_that_frame_the_message_are_ours(name: str) -> None:
    """A caller cannot contradict what is really sent."""
    with pytest.raises(OperatorError, match="set by the client itself"):
        head_of(headers={name: "1"})


def test_a_method_with_a_space_is_refused() -> None:
    """A method cannot carry a second request line."""
    with pytest.raises(OperatorError, match="not an HTTP method"):
        head_of(method="GET /x HTTP/1.1\r\nEvil:")


def test_a_header_outside_latin_1_is_refused_with_the_character() -> None:
    """What HTTP cannot carry is said before it is sent."""
    with pytest.raises(OperatorError, match="\u20ac"):
        head_of(headers={"x-price": "5 \u20ac"})


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://host.test/", "only http"),
        ("/relative", "only http"),
        ("http://", "names no host"),
        ("http://host.test/\r\nX: 1", "line break"),
        ("http://user:secret@host.test/", "user name or password"),
        ("http://host.test:99999/", "[Pp]ort"),
        ("http://[::1/", "Invalid IPv6"),
    ],
)
def test_a_url_that_cannot_be_requested_says_why(url: str, reason: str) -> None:
    """Each bad URL names its reason and shows no password."""
    with pytest.raises(OperatorError, match=reason) as refused:
        parse_url(url)
    assert "secret" not in str(refused.value)


def test_spaces_and_letters_of_the_world_are_escaped() -> None:
    """A path is sent as bytes that every server understands; what was escaped stays as it is."""
    assert parse_url("http://host.test/a b/\u00fc%20?q=\u00e9 x").target == "/a%20b/%C3%BC%20?q=%C3%A9%20x"


def test_the_host_header_leaves_out_the_default_port_and_brackets_an_address() -> None:
    """`Host` as RFC 9110 wants it."""
    assert parse_url("http://host.test:80/").host_header == "host.test"
    assert parse_url("https://host.test:444/").host_header == "host.test:444"
    assert parse_url("http://[::1]:81/").host_header == "[::1]:81"


def test_headers_are_found_without_regard_to_case() -> None:
    """Lookup, all values, order."""
    headers = Headers((("Set-Cookie", "a"), ("X-A", "1"), ("set-cookie", "b")))
    assert headers.get("SET-COOKIE") == "a"
    assert headers.get_all("set-cookie") == ("a", "b")
    assert headers.get("none", "d") == "d"
    assert "x-a" in headers
    assert len(headers) == 3


def test_later_layers_of_headers_win_without_regard_to_case() -> None:
    """A request's header replaces the client's."""
    assert merge_headers({"Accept": "a", "X": "1"}, {"ACCEPT": "b"}) == {"accept": "b", "x": "1"}


def hop_to(location: str, status: int, *, method: str = "GET", body: BytesBody | FileBody | None = None) -> Hop | None:
    """The next hop after an answer with a location."""
    sent = {"authorization": "Bearer t", "cookie": "c", "x-api-key": "k", "traceparent": "00-a", "content-type": "x/y"}
    hop = Hop(method, parse_url("https://a.test/start/here"), sent, body)
    following, failure = next_hop(hop, status, Headers((("Location", location),)), 1)
    assert failure is None
    return following


@pytest.mark.parametrize("location", ["https://b.test/", "http://a.test/", "https://a.test:444/", "//b.test/x"])
def test_credentials_never_go_to_another_origin(location: str) -> None:
    """Another host, scheme or port gets the trace and nothing that could be a secret."""
    following = hop_to(location, 302)
    assert following is not None
    assert following.headers == {"traceparent": "00-a"}


def test_credentials_stay_on_the_same_origin() -> None:
    """A redirect inside one origin keeps what the request had, but for the type of a body that is gone."""
    following = hop_to("../other?x=1#part", 302)
    assert following is not None
    assert following.url.text == "https://a.test/other?x=1"
    assert following.headers["authorization"] == "Bearer t"
    assert "content-type" not in following.headers


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (307, "POST", "POST"),
     (308, "PUT", "PUT"), (301, "PUT", "PUT"), (302, "DELETE", "DELETE")],
)  # fmt: skip
def test_a_redirect_changes_the_method_as_the_standard_says(status: int, method: str, becomes: str) -> None:
    """RFC 9110, 15.4: only 303, and 301 and 302 after POST, turn into GET."""
    following = hop_to("/next", status, method=method, body=BytesBody(b"x"))
    assert following is not None
    assert following.method == becomes
    assert (following.body is None) == (becomes == "GET")


def test_a_body_from_memory_is_not_repeated_to_another_origin() -> None:
    """It may hold a password: such a redirect is left to the caller."""
    assert hop_to("https://b.test/", 307, method="POST", body=BytesBody(b"secret")) is None


@pytest.mark.parametrize("location", ["file:///etc/passwd", "https://", "http://u:p@a.test/"])
def test_a_redirect_to_a_place_that_cannot_be_requested_is_a_failure(location: str) -> None:
    """The target's mistake is data, not our exception."""
    hop = Hop("GET", parse_url("http://a.test/"), {}, None)
    following, failure = next_hop(hop, 302, Headers((("location", location),)), 1)
    assert following is None
    assert failure is not None
    assert failure.kind == "status"
