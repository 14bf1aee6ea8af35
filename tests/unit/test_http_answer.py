"""Reading answers: any cut of the same bytes gives the same answer, and everything has a bound."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.http_answer import AnswerReader

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Late: 1\r\n\r\n"
)
SIZED = b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nhello"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SIZED


def read(data: bytes, cuts: list[int], method: str = "GET", limit: int = 1000) -> AnswerReader:
    """Feeds `data` in pieces."""
    reader = AnswerReader(method, limit)
    borders = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    for start, end in pairwise(borders):
        if start < end:
            reader.feed(data[start:end])
    return reader


@given(data=st.sampled_from([CHUNKED, SIZED, INTERIM]), cuts=st.lists(st.integers(0, 500), max_size=8))
def test_an_answer_is_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    """Segments of the network do not matter."""
    reader, whole = read(data, cuts), read(data, [])
    assert reader.complete
    assert not reader.problem
    assert (reader.status, reader.body, reader.headers.items()) == (whole.status, whole.body, whole.headers.items())


def test_chunks_are_joined_and_trailers_dropped() -> None:
    """The body is what was meant."""
    reader = read(CHUNKED, [])
    assert bytes(reader.body) == b"hello world"
    assert reader.headers.items() == (("Transfer-Encoding", "chunked"), ("X-A", "1"))


def test_interim_answers_are_skipped() -> None:
    """The answer is the final one, without the fields of those before it."""
    reader = read(INTERIM, [])
    assert reader.status == 201
    assert reader.headers.items() == (("content-length", "5"),)


@pytest.mark.parametrize("data", [b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n"])
def test_answers_without_a_body_end_at_their_head(data: bytes) -> None:
    """204 and 304 have none, whatever they say."""
    assert read(data, []).complete


def test_an_answer_to_head_ends_at_its_head() -> None:
    """HEAD has no body, whatever its length says."""
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", [], method="HEAD").complete


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    """Until-close bodies are whole when the stream ends properly."""
    reader = read(b"HTTP/1.1 200 OK\r\n\r\nhello", [])
    assert not reader.complete
    assert reader.end()
    assert bytes(reader.body) == b"hello"


@pytest.mark.parametrize("cut", range(len(SIZED)))
def test_an_answer_that_is_cut_short_is_not_whole(cut: int) -> None:
    """A missing byte is noticed wherever it is missing."""
    reader = AnswerReader("GET", 1000)
    if cut:
        reader.feed(SIZED[:cut])
    assert not reader.end()


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x02\x00", b"HTTP/1.1 xx\r\n\r\n", b"<html>"]
)
def test_what_is_not_http_is_said_with_its_first_bytes(data: bytes) -> None:
    """A person sees what came instead."""
    reader = read(data, [])
    assert reader.problem.startswith("the answer is not HTTP")
    assert repr(data[:4])[2:5] in reader.problem


def test_switching_protocols_is_a_problem() -> None:
    """101 was not asked for."""
    reader = read(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", [])
    assert "switched protocols" in reader.problem


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000, b"HTTP/1.1 100 C\r\n\r\n" * 4000])
def test_a_head_without_end_is_cut_off(data: bytes) -> None:
    """Neither one long field nor interim answers for ever can fill the memory."""
    assert "larger than" in read(data, list(range(0, 70_000, 9000))).problem


def test_a_body_over_the_limit_is_noticed_and_cut() -> None:
    """What the caller did not want to accept is not kept."""
    reader = read(SIZED, [], limit=3)
    assert reader.too_large
    assert not reader.complete
    assert bytes(reader.body) == b"hel"


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    """Whatever a target sends ends in words."""
    AnswerReader("GET", 100).feed(data)
