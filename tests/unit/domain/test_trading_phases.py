from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.market_calendar import session_on, sessions_between
from pipelines.domain.trading_phases import (
    Group,
    Phase,
    market_day,
    opening_auction_before,
    phase_at,
    phases_on,
    post_close_on,
    square_off_fee,
    square_off_on,
    takes_after_market,
)

BEFORE, SINCE = date(2026, 7, 31), date(2026, 8, 3)
AUCTIONS = date(2026, 9, 7)  #: the pre-open of two parts begins


def on(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=IST)


@pytest.mark.parametrize(
    ("group", "day", "clock", "phase"),
    [
        (Group.STOCK, SINCE, "08:59", Phase.CLOSED),
        (Group.AUCTION_STOCK, SINCE, "09:00", Phase.PRE_OPEN),
        (Group.AUCTION_STOCK, SINCE, "09:10", Phase.PRE_OPEN_MATCH),
        (Group.STOCK, SINCE, "09:05", Phase.PRE_OPEN),
        (Group.STOCK, date(2026, 9, 4), "09:09", Phase.PRE_OPEN_MATCH),
        (Group.STOCK, AUCTIONS, "09:04:59", Phase.PRE_OPEN),
        (Group.AUCTION_STOCK, AUCTIONS, "09:05", Phase.PRE_OPEN_LIMIT),
        (Group.STOCK, AUCTIONS, "09:07:59", Phase.PRE_OPEN_LIMIT),
        (Group.AUCTION_STOCK, AUCTIONS, "09:10", Phase.PRE_OPEN_MATCH),
        (Group.AUCTION_STOCK, AUCTIONS, "09:12", Phase.PRE_OPEN_BUFFER),
        (Group.AUCTION_STOCK, AUCTIONS, "09:15", Phase.CONTINUOUS),
        (Group.AUCTION_STOCK, AUCTIONS, "15:21", Phase.AUCTION),
        (Group.NEAR_FUTURE, date(2025, 12, 5), "09:05", Phase.CLOSED),
        (Group.NEAR_FUTURE, date(2025, 12, 8), "09:05", Phase.PRE_OPEN),
        (Group.NEAR_FUTURE, date(2025, 12, 8), "09:08", Phase.PRE_OPEN_MATCH),
        (Group.NEAR_FUTURE, date(2025, 12, 8), "09:12", Phase.PRE_OPEN_BUFFER),
        (Group.NEAR_FUTURE, date(2025, 12, 8), "15:30", Phase.CLOSED),
        (Group.NEAR_FUTURE, AUCTIONS, "09:05", Phase.PRE_OPEN),
        (Group.NEAR_FUTURE, AUCTIONS, "15:39", Phase.CONTINUOUS),
        (Group.DERIVATIVE, AUCTIONS, "09:05", Phase.CLOSED),
        (Group.AUCTION_STOCK, SINCE, "15:14:59", Phase.CONTINUOUS),
        (Group.AUCTION_STOCK, SINCE, "15:15", Phase.AUCTION_REFERENCE),
        (Group.AUCTION_STOCK, SINCE, "15:20", Phase.AUCTION),
        (Group.AUCTION_STOCK, SINCE, "15:25", Phase.AUCTION_LIMIT),
        (Group.AUCTION_STOCK, SINCE, "15:31", Phase.AUCTION_MATCH),
        (Group.AUCTION_STOCK, SINCE, "15:45", Phase.CLOSED),
        (Group.AUCTION_STOCK, SINCE, "15:50", Phase.POST_CLOSE),
        (Group.STOCK, SINCE, "15:29", Phase.CONTINUOUS),
        (Group.DERIVATIVE, SINCE, "15:39", Phase.CONTINUOUS),
        (Group.DERIVATIVE, SINCE, "15:40", Phase.CLOSED),
        (Group.AUCTION_STOCK, BEFORE, "15:29", Phase.CONTINUOUS),
        (Group.AUCTION_STOCK, BEFORE, "15:45", Phase.POST_CLOSE),
        (Group.DERIVATIVE, BEFORE, "15:30", Phase.CLOSED),
        (Group.STOCK, date(2026, 8, 2), "12:00", Phase.CLOSED),
        (Group.STOCK, date(2026, 10, 2), "12:00", Phase.CLOSED),
        (Group.AUCTION_STOCK, date(2026, 11, 8), "18:30", Phase.CLOSED),  # its hours are not known
        (Group.AUCTION_STOCK, date(2025, 10, 21), "14:30", Phase.CONTINUOUS),
        (Group.AUCTION_STOCK, date(2027, 1, 4), "12:00", Phase.CLOSED),  # nobody knows
        (Group.AUCTION_STOCK, date(2024, 3, 2), "10:30", Phase.CLOSED),
        (Group.STOCK, date(2005, 6, 1), "09:30", Phase.CLOSED),
    ],
)
def test_every_instrument_keeps_the_hours_of_its_day(group, day, clock, phase):
    assert phase_at(group, on(day, clock)) is phase


def test_a_call_auction_closes_at_a_random_moment_of_its_last_minute_that_the_seed_fixes():
    closing = on(SINCE, "09:07")
    seconds = [closing + timedelta(seconds=n) for n in range(60)]

    open_until = [
        sum(phase_at(Group.STOCK, second, seed) is Phase.PRE_OPEN for second in seconds) for seed in range(20)
    ]

    assert len(set(open_until)) > 10
    assert open_until == [
        sum(phase_at(Group.STOCK, second, seed) is Phase.PRE_OPEN for second in seconds) for seed in range(20)
    ]


def test_limit_orders_of_the_pre_open_close_at_random_in_their_last_two_minutes():
    begins = on(AUCTIONS, "09:08")
    seconds = [begins + timedelta(seconds=n) for n in range(120)]

    open_for = {
        sum(phase_at(Group.STOCK, second, seed) is Phase.PRE_OPEN_LIMIT for second in seconds) for seed in range(40)
    }

    assert min(open_for) < 30
    assert max(open_for) > 90


def test_an_opening_auction_is_dated_and_absent_where_there_was_none():
    leads = [opening_auction_before(day) for day in (date(2009, 6, 1), SINCE, AUCTIONS, date(2025, 10, 21))]

    assert leads == [timedelta(0), timedelta(minutes=7), timedelta(minutes=5), timedelta(0)]
    assert post_close_on(BEFORE) == on(BEFORE, "15:40")
    assert post_close_on(SINCE) == on(SINCE, "15:50")
    assert post_close_on(date(2025, 10, 21)) is None


def test_a_day_that_nobody_knows_is_kept_clear_of_like_a_session():
    assert market_day(date(2026, 10, 2)) is None
    assert market_day(date(2027, 1, 2)) is None, "a Saturday"
    assert market_day(date(2027, 1, 26)) == (on(date(2027, 1, 26), "09:00"), on(date(2027, 1, 26), "16:00"))
    assert market_day(date(2026, 11, 8))[1] - market_day(date(2026, 11, 8))[0] == timedelta(days=1)


def test_continuous_trading_agrees_with_the_calendar_on_every_session_since_the_pre_open():
    for session in sessions_between(date(2010, 10, 18), date(2026, 12, 31)):
        ends = [
            max(span.end for span in phases_on(group, session.day) if span.phase is Phase.CONTINUOUS)
            for group in (Group.AUCTION_STOCK, Group.STOCK)
        ]
        starts = {
            min(span.start for span in phases_on(group, session.day) if span.phase is Phase.CONTINUOUS)
            for group in Group
        }

        assert starts == {session.open}, session.day
        assert ends[1] == session.end, session.day
        assert ends[0] == session.close or session.kind != "regular", session.day


def test_the_broker_squares_off_at_a_dated_time_before_the_auction_and_before_an_evenings_end():
    assert square_off_on(Group.AUCTION_STOCK, BEFORE).at == on(BEFORE, "15:20")
    assert square_off_on(Group.AUCTION_STOCK, SINCE).at == on(SINCE, "14:59"), "before the earliest broker"
    assert square_off_on(Group.STOCK, SINCE).at == on(SINCE, "15:20")
    assert square_off_on(Group.NEAR_FUTURE, SINCE) == square_off_on(Group.DERIVATIVE, SINCE)
    assert square_off_on(Group.DERIVATIVE, BEFORE).at == on(BEFORE, "15:25")
    muhurat = date(2025, 10, 21)
    assert square_off_on(Group.STOCK, muhurat).at == session_on(muhurat).end - timedelta(minutes=10)
    assert square_off_on(Group.STOCK, date(2026, 10, 2)) is None
    assert square_off_fee(SINCE) == (Decimal(50), Decimal("0.18"))


@pytest.mark.parametrize(
    ("group", "clock", "taken"),
    [
        (Group.STOCK, "08:57", True),
        (Group.STOCK, "08:58", False),
        (Group.DERIVATIVE, "09:09", True),
        (Group.STOCK, "15:59", False),
        (Group.STOCK, "16:00", True),
        (Group.DERIVATIVE, "15:45", True),
    ],
)
def test_after_market_orders_are_taken_in_the_brokers_window(group, clock, taken):
    assert takes_after_market(group, on(SINCE, clock)) is taken


def test_after_market_orders_are_taken_all_day_on_a_holiday():
    assert takes_after_market(Group.STOCK, on(date(2026, 10, 2), "12:00"))
