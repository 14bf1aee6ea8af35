"""The books of an epoch: what came, what came again, what is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.store_books import MAX_GAPS, Books, united


def numbers_in(books: Books) -> set[int]:
    """What the books say has come."""
    missing = {number for first, last in books.gaps for number in range(first, last + 1)}
    return set(range(1, books.highest_seq + 1)) - missing


@given(st.lists(st.sets(st.integers(1, 60), min_size=1, max_size=20), max_size=30))
def test_the_books_know_what_a_set_would_know(batches: list[set[int]]) -> None:
    """In whatever order batches come, again or not: what is in the books is what came, and repeats are told."""
    books, model = Books(), set[int]()
    for batch in batches:
        assert books.take(sorted(batch)) == batch & model
        model |= batch
        assert numbers_in(books) == model
        assert books.missing == max(model) - len(model)
        assert books.gaps == sorted(books.gaps)


@given(st.sets(st.integers(1, 60), max_size=30), st.sets(st.integers(1, 60), max_size=30))
def test_united_books_know_what_came_here_or_there(here: set[int], there: set[int]) -> None:
    """And only what came to neither is missing."""
    first, second = Books(), Books()
    for books, numbers in ((first, here), (second, there)):
        if numbers:
            books.take(sorted(numbers))
    both = united(first, second)
    assert numbers_in(both) == here | there
    assert both.gaps == sorted(both.gaps)
    assert numbers_in(united(both, first)) == here | there


def test_books_that_are_opened_again_go_on_where_they_were() -> None:
    """The database keeps the highest number and the gaps, and that is all it takes."""
    books = Books()
    books.take([1, 2, 5, 9])
    again = Books(books.highest_seq, books.gaps)
    assert again.take([3, 5, 10]) == {5}
    assert again.gaps == [(4, 4), (6, 8)]


def test_a_probe_that_leaves_a_thousand_gaps_costs_no_more_than_that() -> None:
    """The oldest gaps grow together; the newest stay exact."""
    books = Books()
    for number in range(2, 4 * MAX_GAPS, 2):
        books.take([number])
    assert len(books.gaps) == MAX_GAPS
    assert books.gaps[-1] == (4 * MAX_GAPS - 3, 4 * MAX_GAPS - 3)
