from datetime import date

import pytest

from pipelines.domain.api_limits import api_limits_on
from serving.exchange.rate_limits import RateLimits, group_of, kite_limits, ticker_limits


class Clock:
    def __init__(self, now: float = 1_800_000_000.0):
        self.now = now

    def __call__(self) -> float:
        return self.now


def admitted(limits: RateLimits, calls: int, group: str = "orders", key: str = "paperkey") -> int:
    return sum(limits.admit(key, group) for _ in range(calls))


def test_kites_limits_are_dated_facts_with_a_source():
    assert kite_limits(date(2026, 11, 21)) == {
        "quote": {"second": 1},
        "historical": {"second": 3},
        "orders": {"second": 10, "minute": 400, "day": 5000},
        "other": {"second": 10},
    }
    assert ticker_limits(date(2026, 11, 21)) == (3, 3000)
    assert all(limit.source for limit in api_limits_on(date(2026, 11, 21)))


@pytest.mark.parametrize(
    ("method", "path", "group"),
    [
        ("GET", "/quote", "quote"),
        ("GET", "/quote/ltp", "quote"),
        ("GET", "/instruments/historical/1/day", "historical"),
        ("GET", "/instruments/NSE", "other"),
        ("POST", "/orders/regular", "orders"),
        ("PUT", "/orders/amo/1", "orders"),
        ("DELETE", "/orders/regular/1", "orders"),
        ("GET", "/orders", "other"),
        ("GET", "/orders/1/trades", "other"),
        ("POST", "/gtt/triggers", "other"),
        ("GET", "/portfolio/positions", "other"),
    ],
)
def test_a_call_falls_under_its_limit(method, path, group):
    assert group_of(method, path) == group


def test_a_new_calendar_second_admits_anew():
    clock = Clock(1_800_000_000.9)
    limits = RateLimits(kite_limits(), clock)

    first = admitted(limits, 12)
    clock.now += 0.2

    assert (first, admitted(limits, 12)) == (10, 10)


def test_the_minute_and_the_day_count_on_over_the_seconds():
    clock = Clock()  # the beginning of a minute
    limits = RateLimits(kite_limits(), clock)

    in_a_minute = 0
    for _ in range(60):
        in_a_minute += admitted(limits, 10)
        clock.now += 1
    in_a_day = in_a_minute
    for _ in range(60 * 20):
        in_a_day += admitted(limits, 10)
        clock.now += 1

    assert in_a_minute == 400
    assert in_a_day == 5000


def test_a_day_begins_at_midnight_in_india():
    midnight = 1_800_000_000.0 // 86_400 * 86_400 + 18.5 * 3600  # 18:30 UTC
    clock = Clock(midnight - 1)
    limits = RateLimits({"orders": {"day": 1}}, clock)

    before = admitted(limits, 2)
    clock.now += 1

    assert (before, admitted(limits, 2)) == (1, 1)


def test_each_api_key_and_each_limit_counts_for_itself():
    limits = RateLimits(kite_limits(), Clock())

    assert admitted(limits, 5, "quote") == 1
    assert admitted(limits, 5, "historical") == 3
    assert admitted(limits, 20) == 10
    assert admitted(limits, 20, key="another") == 10


def test_a_refused_call_is_not_counted():
    clock = Clock()
    limits = RateLimits({"orders": {"second": 1, "minute": 2}}, clock)

    admitted(limits, 100)
    clock.now += 1

    assert admitted(limits, 100) == 1
