"""Links that acknowledge: only what was signed, only for what it says, only for as long as it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.alerting.ack_links import AckClaim, AckRefusedError, sign_ack_token, verify_ack_token

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = b"k" * 32
CLAIM = AckClaim(17, "on-call.slack", NOW + timedelta(days=7))
TOKEN = sign_ack_token(CLAIM, KEY)


def test_what_was_signed_is_understood_until_its_last_second() -> None:
    """The incident, the channel and the end come out as they went in; after the end nothing does."""
    assert verify_ack_token(TOKEN, KEY, NOW) == CLAIM
    assert verify_ack_token(TOKEN, KEY, CLAIM.expires_at - timedelta(seconds=1)) == CLAIM
    with pytest.raises(AckRefusedError, match="ended at 2026-03-08 12:00 UTC"):
        verify_ack_token(TOKEN, KEY, CLAIM.expires_at)


def test_no_letter_of_a_token_can_be_changed() -> None:
    """Any other letter at any place is refused, also where it would only spell the same bytes differently."""
    for place, other in product(range(len(TOKEN)), "Ab_-=é"):
        if TOKEN[place] != other:
            with pytest.raises(AckRefusedError):
                verify_ack_token(TOKEN[:place] + other + TOKEN[place + 1 :], KEY, NOW)


def test_another_key_signs_nothing_for_us() -> None:
    """A token of another fleet is refused."""
    with pytest.raises(AckRefusedError, match="not one of ours"):
        verify_ack_token(sign_ack_token(CLAIM, b"x" * 32), KEY, NOW)


@given(st.text(max_size=60))
def test_nothing_that_anybody_types_is_more_than_refused(text: str) -> None:
    """Whatever stands behind the slash is refused in words, and nothing else happens."""
    with pytest.raises(AckRefusedError):
        verify_ack_token(text, KEY, NOW)


@given(st.integers(1, 2**53), st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", fullmatch=True))
def test_a_token_of_any_claim_stands_in_a_url_as_it_is(incident_id: int, channel: str) -> None:
    """No letter of it needs quoting, and it says the same afterwards."""
    claim = AckClaim(incident_id, channel, NOW + timedelta(days=7))
    token = sign_ack_token(claim, KEY)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert verify_ack_token(token, KEY, NOW) == claim
