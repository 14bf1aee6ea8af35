"""Templates: what a placeholder becomes in a URL, a text and a JSON body."""

from __future__ import annotations

import pytest

from probes.templates import TemplateError, fill_json, fill_text, fill_url, names_in


def test_a_body_value_that_is_one_placeholder_keeps_its_type() -> None:
    """`"{quantity}"` is the number 10, not the text "10"; within a text it is text."""
    values = {"quantity": 10, "features": {"holes": 4}, "none": None, "ok": True}
    body = {
        "n": "{quantity}",
        "t": "{quantity} pieces",
        "f": "{features}",
        "z": "{none}",
        "b": "{ok}",
        "l": ["{quantity}"],
    }
    assert fill_json(body, values) == {
        "n": 10,
        "t": "10 pieces",
        "f": {"holes": 4},
        "z": None,
        "b": True,
        "l": [10],
    }


def test_a_url_keeps_its_base_and_encodes_the_rest() -> None:
    """A file name with a space or a question mark cannot change the request."""
    values = {"api": "https://x.test/v1/", "path": "a b/c?d#e"}
    assert fill_url("{api}/files/{path}", values) == "https://x.test/v1/files/a%20b/c%3Fd%23e"


def test_a_url_that_the_platform_handed_out_is_taken_as_it_is() -> None:
    """A presigned URL is signed to the last character."""
    url = "https://x.test/put?sig=a%2Fb&x=1/"
    assert fill_url("{upload_url}", {"upload_url": url}) == url


def test_doubled_braces_are_braces() -> None:
    """A body can hold them."""
    assert fill_text("{{{a}}}", {"a": 1}) == "{1}"
    assert fill_json("{{a}}", {"a": 1}) == "{a}"


@pytest.mark.parametrize("text", ["{", "}", "{A}", "{a b}", "{a.b.c}", "{}"])
def test_a_lone_brace_is_refused(text: str) -> None:
    """A slip is found when the file is read, not in the middle of a run."""
    with pytest.raises(TemplateError, match="lone"):
        names_in(text)


def test_a_placeholder_without_a_value_is_named() -> None:
    """The message says which."""
    with pytest.raises(TemplateError, match=r"\{sign_in.token\}"):
        fill_text("Bearer {sign_in.token}", {})
