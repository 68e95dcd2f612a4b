import threading

import pytest

from pipelines.features.ahead import made_ahead


def test_results_come_in_the_order_of_the_items_whichever_is_ready_first():
    second_is_ready = threading.Event()

    def make(item: int) -> int:
        if item == 0:
            assert second_is_ready.wait(10)
        if item == 1:
            second_is_ready.set()
        return item * item

    assert list(made_ahead(make, range(5), threads=2)) == [0, 1, 4, 9, 16]


def test_what_goes_wrong_is_raised_where_its_result_would_have_come():
    def make(item: int) -> float:
        return 1 / (2 - item)

    found = made_ahead(make, range(5), threads=2)

    assert [next(found), next(found)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(found)


@pytest.mark.parametrize("threads", [1, 2])
def test_whoever_stops_asking_leaves_no_thread_behind(threads):
    made: list[int] = []
    found = made_ahead(made.append, range(100), threads)

    next(found)
    found.close()

    assert len(made) <= threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("features")]
