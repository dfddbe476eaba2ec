from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from pipeline.reader.books import Book

LENGTHS = st.lists(st.integers(min_value=1, max_value=50), min_size=1, max_size=12)


def test_nothing_may_be_committed_past_the_start_before_the_first_batch_is_done() -> None:
    book = Book(start=100)

    book.give(110, now=0.0)

    assert book.end == 100


def test_the_end_waits_for_the_batch_in_the_gap() -> None:
    book = Book(start=0)
    first, second, third = (book.give(end, now=0.0) for end in (10, 20, 30))

    book.done(third)
    book.done(first)

    assert book.end == 10
    assert len(book) == 2
    book.done(second)
    assert book.end == 30
    assert len(book) == 0


def test_a_batch_done_twice_counts_once() -> None:
    book = Book(start=0)
    first = book.give(10, now=0.0)
    book.give(20, now=0.0)

    book.done(first)
    book.done(first)

    assert book.end == 10


def test_a_stretch_without_work_may_be_committed_at_once_when_nothing_is_before_it() -> None:
    book = Book(start=0)

    book.skip(10)

    assert book.end == 10
    assert book.next == 10


def test_a_stretch_without_work_waits_for_the_batch_before_it_and_takes_no_room() -> None:
    book = Book(start=0)
    first = book.give(10, now=0.0)

    book.skip(20)

    assert book.end == 0
    assert len(book) == 1
    book.done(first)
    assert book.end == 20


def test_the_oldest_unfinished_batch_tells_since_when() -> None:
    book = Book(start=0)
    first = book.give(10, now=5.0)
    second = book.give(20, now=7.0)

    assert book.oldest(last_begun=0.0) == 5.0
    assert book.oldest(last_begun=6.0) == 6.0
    first.begun_at = 5.5
    assert book.oldest(last_begun=6.0) == 5.5
    book.done(first)
    assert book.oldest(last_begun=6.0) == 7.0
    book.done(second)
    assert book.oldest(last_begun=6.0) is None


@given(LENGTHS, st.data())
def test_the_end_never_passes_a_batch_that_is_not_done_and_reaches_the_last(
    lengths: list[int], data: st.DataObject
) -> None:
    book = Book(start=7)
    ends = [7 + end for end in accumulate(lengths)]
    empty = data.draw(st.lists(st.booleans(), min_size=len(ends), max_size=len(ends)))
    undone = {}
    for end, start, is_empty in zip(ends, [7, *ends], empty, strict=False):
        if is_empty:
            book.skip(end)
        else:
            undone[start] = book.give(end, now=0.0)

    for start in data.draw(st.permutations(sorted(undone))):
        assert book.end <= min(undone)
        book.done(undone.pop(start))

    assert book.end == book.next == ends[-1]
