"""A name that nobody answers for, through the system's own resolver: never the platform's failure (docs/adr/0058)."""

from __future__ import annotations

import pytest

from tests.resolver_space import answers_in_space

FAILS = "this host's name resolver does not answer (a zone whose name servers are dead looks the same from here)"


def test_a_dead_zone_beside_a_control_target_that_answers_by_its_name_is_inconclusive() -> None:
    """That resolver could be one of ours which remembers our own outage: to a run both are the same."""
    said = answers_in_space("servfail", "servfail")
    assert said == {
        "outcome": "inconclusive",
        "kind": "internal",
        "error_type": "EAI_AGAIN",
        "against_host": "",
        "page": FAILS,
    }


@pytest.mark.parametrize(("a", "aaaa"), [("servfail", "none"), ("none", "servfail")])
def test_a_name_without_addresses_of_one_family_that_nobody_answers_for_in_the_other_is_inconclusive(
    a: str, aaaa: str
) -> None:
    """The system calls both EAI_NODATA, as if the zone had said that there is no address."""
    said = answers_in_space(a, aaaa)
    assert (said["outcome"], said["error_type"], said["page"]) == ("inconclusive", "EAI_AGAIN", FAILS)


@pytest.mark.parametrize(("word", "error_type"), [("none", "EAI_NODATA"), ("unknown", "EAI_NONAME")])
def test_a_zone_that_says_that_there_is_no_address_fails_the_run(word: str, error_type: str) -> None:
    """Somebody answered."""
    said = answers_in_space(word, word)
    assert (said["outcome"], said["kind"], said["error_type"], said["page"]) == ("fail", "dns", error_type, "")


def test_a_resolver_that_knows_the_name_when_it_is_asked_again_has_failed_before() -> None:
    """It gave no address, and gives one: neither the run nor the page may be charged."""
    said = answers_in_space("servfail", "none", later="there")
    assert (said["outcome"], said["error_type"]) == ("inconclusive", "EAI_AGAIN")
    assert said["page"] == "this host's name resolver gave Chromium no address, and gives one now"
