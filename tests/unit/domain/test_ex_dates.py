from datetime import date, datetime, time

import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.corporate_actions import ActionKind, actions_table
from pipelines.domain.ex_dates import ExDates
from pipelines.domain.market_calendar import session_on, trading_day_after

#: 2026-11-24, a Tuesday, is a holiday
FRIDAY, MONDAY, HOLIDAY, WEDNESDAY = (date(2026, 11, day) for day in (20, 23, 24, 25))
BEFORE_ALL = datetime(2026, 11, 2, 18, tzinfo=IST)


def an_action(day, kind="split", ratio=5.0, known_at=BEFORE_ALL, symbol="TCS"):
    return {
        "symbol": symbol, "ex_date": pd.Timestamp(day, tz=IST), "kind": kind, "ratio": ratio, "known_at": known_at,
        "source": "test",
    }  # fmt: skip


def ex_dates(*rows):
    return ExDates(actions_table(rows))


def opening(day):
    session = session_on(day)
    return session.open if session else datetime.combine(day, time(9, 15), tzinfo=IST)


def test_a_position_is_left_in_the_last_session_before_the_ex_date_over_weekends_and_holidays():
    for ex_day, last in ((MONDAY, FRIDAY), (WEDNESDAY, MONDAY), (HOLIDAY, MONDAY)):
        known = ex_dates(an_action(ex_day))

        left = [day for day in (FRIDAY, MONDAY, WEDNESDAY) if known.ahead("TCS", day, opening(day))]

        assert left == [last]


def test_a_special_session_of_a_weekend_is_the_last_before_a_monday():
    budget_day = date(2026, 2, 1)  # a Sunday that traded
    known = ex_dates(an_action(date(2026, 2, 2), known_at=datetime(2026, 1, 5, tzinfo=IST)))

    assert trading_day_after(date(2026, 1, 30)) == budget_day
    assert known.ahead("TCS", date(2026, 1, 30), opening(date(2026, 1, 30))) is None
    assert known.ahead("TCS", budget_day, opening(budget_day))


@pytest.mark.parametrize(
    ("known_at", "counts"),
    [
        (opening(FRIDAY), True),
        (opening(FRIDAY).replace(hour=9, minute=16), False),
        (datetime(2026, 11, 23, 8, tzinfo=IST), False),
        (None, False),  # known from its ex-date's midnight
    ],
)
def test_only_what_was_known_before_the_session_began_counts_in_it(known_at, counts):
    known = ex_dates(an_action(MONDAY, known_at=known_at))

    assert bool(known.ahead("TCS", FRIDAY, opening(FRIDAY))) is counts
    assert known.between("TCS", FRIDAY, MONDAY, opening(MONDAY)), "too late to leave, and known on the day itself"


@pytest.mark.parametrize("kind", list(ActionKind))
def test_all_kinds_count_but_dividends_also_without_a_ratio(kind):
    known = ex_dates(an_action(MONDAY, kind=kind.value, ratio=float("nan")))

    assert bool(known.ahead("TCS", FRIDAY, opening(FRIDAY))) is (kind is not ActionKind.DIVIDEND)


def test_a_ratio_of_one_and_other_symbols_do_not_count():
    known = ex_dates(an_action(MONDAY, ratio=1.0), an_action(MONDAY, symbol="INFY"))

    assert known.ahead("TCS", FRIDAY, opening(FRIDAY)) is None
    assert known.ahead("INFY", FRIDAY, opening(FRIDAY))


def test_nothing_is_entered_in_the_session_before_an_ex_date_nor_on_it_by_a_decision_of_before():
    thursday, after = date(2026, 11, 19), trading_day_after(WEDNESDAY)
    known = ex_dates(an_action(MONDAY))

    def refused(decided, entered):
        return known.against_entry("TCS", decided, entered, opening(entered)) is not None

    assert not refused(date(2026, 11, 18), thursday)
    assert refused(thursday, FRIDAY), "it would be left again the same day"
    assert refused(FRIDAY, FRIDAY)
    assert refused(FRIDAY, MONDAY), "the ex-date itself: the decision's price is one of before"
    assert not refused(MONDAY, WEDNESDAY)
    assert not refused(WEDNESDAY, after)


def test_an_action_says_what_it_is():
    known = ex_dates(an_action(MONDAY), an_action(WEDNESDAY, kind="demerger", ratio=float("nan")))

    said = [str(found) for found in known.of("TCS")]

    assert said == ["split 5 for 1, ex-date 2026-11-23", "demerger, ex-date 2026-11-25"]
