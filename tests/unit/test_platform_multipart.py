"""The stand-in's form reader finds its file however the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.platform.multipart import MultipartError, MultipartFile, boundary_of

BOUNDARY = "limit"


def form(content: bytes, *, before: bytes = b"", name: str = "a.step") -> bytes:
    """A form with text fields and a file."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: model/step\r\n\r\n'
    return before + head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def read(pieces: list[bytes]) -> tuple[MultipartFile, bytes]:
    """The reader after all pieces, and what it took for the file."""
    reader = MultipartFile(BOUNDARY)
    content = b"".join([reader.feed(piece) for piece in pieces])
    reader.close()
    return reader, content


@settings(deadline=None)  # a busy machine is no failure of a rule
@given(
    content=st.binary(max_size=300).filter(lambda found: b"--limit" not in found),
    cuts=st.lists(st.integers(0, 600), max_size=12),
    note=st.text("abc\r\n-", max_size=20),
)
def test_the_file_is_found_however_the_form_is_cut(content: bytes, cuts: list[int], note: str) -> None:
    """Every cut gives the same file, and the offset with the closing bytes gives its length beforehand."""
    before = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\n{note}\r\n'.encode()
    whole = form(content, before=before)
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    reader, found = read([whole[start:end] for start, end in itertools.pairwise(places)])
    assert found == content
    assert reader.part is not None
    assert (reader.part.file_name, reader.part.media_type) == ("a.step", "model/step")
    assert len(whole) - reader.part.offset_bytes - reader.closing_bytes == len(content)


@settings(deadline=None)  # a busy machine is no failure of a rule
@given(st.binary(min_size=1, max_size=60))
def test_a_content_full_of_near_boundaries_is_kept(noise: bytes) -> None:
    """What only begins like the delimiter belongs to the file."""
    content = b"\r\n--limi" + noise.replace(b"t", b"x") + b"\r\n--lim\r\n-"
    _, found = read([bytes([one]) for one in form(content)])
    assert found == content


@pytest.mark.parametrize(
    "whole",
    [
        b"",
        b"no form",
        form(b"x")[:-12],
        f"--{BOUNDARY}--\r\n".encode(),
        b'--limit\r\nContent-Disposition: form-data; name="b"\r\n\r\nx',
    ],
)
def test_a_form_without_a_whole_file_is_an_error(whole: bytes) -> None:
    """Cut off, empty, or without the field: the reader says so instead of giving less."""
    with pytest.raises(MultipartError):
        read([whole])


def test_a_header_without_a_boundary_is_an_error() -> None:
    """And quotes around the boundary do not belong to it."""
    assert boundary_of('multipart/form-data; boundary="a b"') == "a b"
    for header in ("", "text/plain; boundary=x", "multipart/form-data"):
        with pytest.raises(MultipartError):
            boundary_of(header)
