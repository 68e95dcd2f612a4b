from datetime import datetime, timedelta

from pipelines.domain.bars import IST
from pipelines.domain.risk import Orders
from serving.executor.order_calls import OrderCalls

NOON = datetime(2026, 10, 30, 12, 0, tzinfo=IST)


def test_calls_are_counted_by_second_minute_and_day():
    calls = OrderCalls()
    for seconds in (0, 30, 59, 59.5):
        calls.note(NOON + timedelta(seconds=seconds))

    assert calls.so_far(NOON + timedelta(seconds=60)) == Orders(last_second=1, last_minute=3, today=4)


def test_a_day_begins_with_none_and_a_start_in_mid_session_with_those_before():
    calls = OrderCalls()
    calls.begin(NOON.date(), 40)
    calls.note(NOON)

    assert calls.so_far(NOON).today == 41
    assert calls.so_far(NOON + timedelta(days=1)) == Orders()
