"""What evidence hides: known values, and whatever is called like a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.evidence_mask import mask_bytes, mask_text
from probes.masking import Mask

SECRET = "s3cr3t-Value/9"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"curl -H 'x: Bearer {SECRET}'",
        f'{{"name": "Authorization", "value": "Basic {SECRET}"}}',
        f'{{"name":"set-cookie","value":"session={SECRET}; HttpOnly"}}',
        f'{{"password":"{SECRET}","email":"a@b"}}',
        f'{{"access_token": "{SECRET}"}}',
        f'{{"postData":{{"text":"{{\\"password\\":\\"{SECRET}\\"}}"}}}}',
        f"https://x.test/?a=1&token={SECRET}&b=2",
        f"https://x.test/f?X-Amz-Signature={SECRET}",
        f"password={SECRET}&email=a",
        f"GET / HTTP/1.1\nCookie: a={SECRET}\nHost: x",
    ],
)
def test_what_is_called_like_a_secret_is_hidden(text: str) -> None:
    """Without anybody having said what the secret is."""
    masked = mask_text(text, str)
    assert SECRET not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "text",
    [
        '{"tokens": 5, "name": "passwordless"}',
        "https://x.test/?page=2&sort=name",
        '{"unit_price": 12.5, "status": "draft"}',
        "Content-Type: application/json\nX-Request-Id: run-1",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Evidence that hides everything proves nothing."""
    assert mask_text(text, str) == text


@given(
    before=st.text(max_size=20),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=8, max_size=30),
    after=st.text(max_size=20),
)
def test_a_known_value_is_hidden_wherever_it_stands(before: str, secret: str, after: str) -> None:
    """In text, and in bytes that are no text."""
    mask = Mask()
    mask.hide(secret)
    assert secret not in mask_text(f"{before}{secret}{after}", mask).replace(before, "").replace(after, "") or (
        secret in before + after
    )
    assert secret.encode() not in mask_bytes(b"\xff\xfe" + secret.encode() + b"\xff", mask)


def test_bytes_that_are_no_text_and_hold_no_secret_stay() -> None:
    """A picture is kept as it is."""
    assert mask_bytes(b"\x89PNG\xff\xfe", Mask()) == b"\x89PNG\xff\xfe"
