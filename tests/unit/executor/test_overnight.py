"""Delivery and ex-dates: out before them, nothing in towards them, and no order where one has overtaken a trade."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from pipelines.domain.corporate_actions import actions_table
from pipelines.domain.halts import Cause, HaltEvent, Word
from pipelines.domain.orders import OrderStatus, OrderType, Product
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from pipelines.ingest.kinds import known_until
from pipelines.ingest.newest_actions import KnownActions
from serving.executor.bar_builder import Tick
from serving.executor.desk import Frame
from tests.unit.domain.test_ex_dates import BEFORE_ALL, an_action
from tests.unit.executor.test_session import CASH, OPEN, Market

YESTERDAY = OPEN.replace(day=29)
TODAY, TOMORROW = OPEN.date(), date(2026, 11, 2)  # a Friday, and the Monday after it
EARLY = BEFORE_ALL.replace(month=10)
LATE = timedelta(hours=5, minutes=41)  # after the opening: 14:56, when what is intraday is squared off


def split_on(day, **changes):
    return an_action(day, **{"known_at": EARLY, "ratio": 10.0} | changes)


def a_market(*actions, at=OPEN, **given) -> Market:
    """A market for delivery, to which the actions are announced."""
    table = actions_table(actions)
    given = {"actions": lambda at: KnownActions(known_until(table, "actions", at)), "final": False} | given
    return Market(product=Product.CNC, at=at, **given)


def held_over_night(*actions, **given) -> Market:
    """Ten shares bought yesterday at 100, with a stop at 98; today's first frame is still to come."""
    market = a_market(*actions, at=YESTERDAY.replace(hour=10), **given)
    market.decides(quantity=10, hold_bars=1000)
    market.trades("100.00")
    market.clock(YESTERDAY.replace(hour=15, minute=10))
    stop = market.broker.orders()[-1]
    assert market.working == [(OrderType.SL_M, 10)]
    del market.broker.book[stop.order_id]  # orders are for a day
    return market


def rules_that_refused(market: Market) -> list[str]:
    return [event["rule"] for event in market.journal.risk_events("T1")]


def test_a_delivery_is_left_at_the_square_off_of_the_session_before_an_ex_date_and_not_earlier():
    market = held_over_night(split_on(TOMORROW))
    market.at = OPEN
    market.trades("101.00")
    assert market.working == [(OrderType.SL_M, 10)]

    market.clock(OPEN + LATE)
    assert market.working == [(OrderType.LIMIT, 10)]
    market.trades("101.00")

    [outcome] = market.journal.outcomes("T1")
    assert (outcome.exit_reason, outcome.exit_price) == (ExitReason.EX_DATE, Decimal("101.0000"))
    assert market.broker.shares() == {}
    assert market.session.reconcile() == []


@pytest.mark.parametrize(
    "action",
    [
        split_on(TOMORROW, kind="dividend"),
        split_on(TOMORROW, symbol="INFY"),
        split_on(TOMORROW + timedelta(days=1)),
        split_on(TOMORROW, known_at=OPEN + timedelta(minutes=1)),  # the session had begun: see the backtest
        split_on(TODAY - timedelta(days=1)),
    ],
)
def test_what_no_ex_date_follows_stays_overnight(action):
    market = held_over_night(action)
    market.at = OPEN
    market.trades("101.00")

    market.clock(OPEN + LATE)

    assert market.working == [(OrderType.SL_M, 10)]
    assert market.session.desk.overtaken == {}


@pytest.mark.parametrize(
    ("decided", "ex_day", "enters"),
    [
        (YESTERDAY.replace(hour=15, minute=15), TODAY, False),  # its price is one of before
        (YESTERDAY.replace(hour=15, minute=15), TOMORROW, False),  # it would be left this afternoon
        (YESTERDAY.replace(hour=15, minute=15), TOMORROW + timedelta(days=1), True),
        (OPEN, TODAY, True),
        (OPEN, TOMORROW, False),
    ],
)
def test_no_delivery_is_entered_towards_an_ex_date_and_the_refusal_is_noted(decided, ex_day, enters):
    market = a_market(split_on(ex_day))

    market.decides(quantity=10, close_time=decided)

    assert bool(market.broker.orders()) is enters
    assert rules_that_refused(market) == ([] if enters else ["ex-date"])
    if not enters:
        [event] = market.journal.risk_events("T1")
        assert f"split 10 for 1, ex-date {ex_day}" in event["evidence"]


def test_what_is_decided_after_the_square_off_waits_and_is_refused_on_the_ex_date():
    market = a_market(split_on(TOMORROW), at=OPEN + LATE)
    market.decides(quantity=10)
    assert (market.broker.orders(), len(market.session.pending)) == ([], 1)

    market.clock(OPEN.replace(month=11, day=2))

    assert market.broker.orders() == []
    assert rules_that_refused(market) == ["ex-date"]


def test_an_ex_date_learnt_too_late_leaves_the_trade_to_a_person_and_touches_nothing():
    market = held_over_night(split_on(TODAY, known_at=YESTERDAY.replace(hour=20)))
    calls, marks = len(market.broker.calls), market.session.trades["TCS"].position

    market.at = OPEN
    market.trades("10.10")  # a tenth of yesterday's, and far below the stop
    market.trades("10.60")
    market.clock(OPEN + LATE)

    assert len(market.broker.calls) == calls, "no stop, no exit"
    assert market.session.trades["TCS"].position.mae_inr == marks.mae_inr
    assert market.session.equity == market.session.cash + 1000, "at the entry's price: 100.00"
    assert market.session.risk.told()["overtaken"] == {
        "TCS": "split 10 for 1, ex-date 2026-10-30, entered on 2026-10-29"
    }
    [alarm] = [alarm for alarm in market.session.alarms if "nothing is sent" in alarm]
    assert alarm.startswith("TCS: nothing is sent for 10 shares, they have no stop: split 10 for 1, ex-date 2026-10-30")


def test_an_overtaken_trade_whose_shares_the_broker_shows_as_ours_keeps_no_other_from_trading():
    market = held_over_night(split_on(TODAY, known_at=None))

    market.clock(OPEN)

    assert "TCS" in market.session.desk.overtaken
    assert market.session.books_equal
    assert market.session.desk.trading.may_enter().passed


def test_a_flatten_by_hand_leaves_what_was_overtaken_to_the_hand():
    market = held_over_night(split_on(TODAY, known_at=None))
    market.clock(OPEN)
    calls = len(market.broker.calls)

    market.journal.record_halt("T1", HaltEvent(Word.FLATTEN, Cause.BY_HAND, "news", "asha@desk", market.at))
    market.trades("10.10")

    assert len(market.broker.calls) == calls
    assert market.broker.shares() == {"TCS": 10}


def test_a_start_on_the_ex_date_places_no_stop_before_any_frame():
    first = held_over_night()

    second = a_market(split_on(TODAY), journal=first.journal, broker=first.broker, at=OPEN - timedelta(minutes=10))
    second.clock(OPEN)
    second.clock(OPEN + LATE)

    assert second.working == []
    assert "TCS" in second.session.desk.overtaken


def test_it_stays_overtaken_on_the_days_after():
    first = held_over_night()

    later = a_market(split_on(TODAY), journal=first.journal, broker=first.broker, at=OPEN.replace(month=11, day=4))
    later.trades("10.10")

    assert later.working == []


def test_a_holding_that_the_night_has_changed_is_left_to_a_person_though_nobody_told_of_an_action():
    market = held_over_night()
    market.broker.shares = lambda: {"TCS": 100}

    market.at = OPEN
    market.trades("10.10")

    assert market.working == []
    assert market.session.desk.overtaken == {"TCS": "TCS: our fills leave 10 shares, the broker holds 100"}
    assert market.session.books_equal is False


def test_a_holding_that_was_told_late_is_protected_as_soon_as_it_is_equal_again():
    market = held_over_night(reconcile_every=10**6, reconcile_after=timedelta(0))
    told = market.broker.shares
    market.broker.shares = lambda: {"TCS": 5}
    market.clock(OPEN)
    assert market.working == []

    market.broker.shares = told
    market.clock(OPEN + timedelta(seconds=10))
    market.clock(OPEN + timedelta(seconds=20))

    assert market.session.desk.overtaken == {}
    assert market.working == [(OrderType.SL_M, 10)]


def test_shares_that_the_broker_does_not_show_at_all_are_protected_as_ever():
    market = held_over_night()
    market.broker.shares = dict

    market.clock(OPEN)

    assert market.session.desk.overtaken == {}
    assert market.working == [(OrderType.SL_M, 10)]
    assert market.session.books_equal is False


def test_in_mid_session_a_difference_does_not_take_the_stop_out_of_our_hands():
    market = held_over_night()
    market.at = OPEN
    market.trades("101.00")
    market.broker.shares = lambda: {"TCS": 5}

    market.session.reconcile()
    market.trades("105.00")

    assert market.session.desk.overtaken == {}
    assert market.working == [(OrderType.LIMIT, 10)]


def test_a_person_who_sells_at_the_broker_ends_it_and_the_next_trade_is_protected_again():
    market = held_over_night(split_on(TODAY, known_at=None, kind="demerger", ratio=float("nan")))
    market.at = OPEN
    market.trades("80.00")
    entry = next(order for order in market.broker.orders() if order.status is OrderStatus.COMPLETE)
    market.broker.now = market.at
    market.broker.place_foreign("TCS", Side.SELL, 10, like=entry)

    market.trades("80.00")
    market.decides(quantity=5, reference_price=Decimal("80.00"), stop=Decimal("78.00"), target=Decimal("90.00"))
    market.trades("80.00")

    [outcome] = market.journal.outcomes("T1")
    assert (outcome.exit_reason, outcome.gross_inr) == (ExitReason.EXTERNAL, Decimal("-200.00"))
    assert market.session.desk.overtaken == {}
    assert market.working == [(OrderType.SL_M, 5)]


def overtaken_by_a_split(credited: int) -> Market:
    """A split of ten for one over ten shares, of whose new ones the broker has credited so many."""
    market = held_over_night(split_on(TODAY, known_at=None))
    own = market.broker.shares

    def shares():
        held = own().get("TCS", 0) + credited
        return {"TCS": held} if held else {}

    market.broker.shares = shares
    market.at = OPEN
    market.trades("10.10")
    return market


def sells_by_hand(market: Market, quantity: int, price: str) -> None:
    entry = next(order for order in market.broker.orders() if order.status is OrderStatus.COMPLETE)
    market.broker.place_foreign("TCS", Side.SELL, quantity, like=replace(entry, placed_at=market.at))
    market.trades(price)


@pytest.mark.parametrize(("credited", "equal"), [(0, True), (90, True), (89, False)])
def test_books_agree_before_and_after_the_broker_has_credited_what_a_known_split_adds(credited, equal):
    market = overtaken_by_a_split(credited)

    assert (market.session.reconcile() == []) is equal
    assert market.session.books_equal is equal
    assert market.session.desk.trading.may_enter().passed is equal
    assert market.working == []


def test_the_new_shares_of_a_split_that_a_person_sells_are_the_trade_in_its_own_shares():
    market = overtaken_by_a_split(credited=90)
    sells_by_hand(market, 100, "10.10")
    market.trades("10.10")

    [outcome] = market.journal.outcomes("T1")
    assert (outcome.exit_reason, outcome.quantity) == (ExitReason.EXTERNAL, 10)
    assert (outcome.exit_price, outcome.gross_inr) == (Decimal("101.0000"), Decimal("10.00"))
    assert market.session.reconcile() == []
    assert market.session.cash == CASH + outcome.net_inr


def test_what_a_person_sells_of_it_in_parts_leaves_the_rest_open():
    market = overtaken_by_a_split(credited=90)
    sells_by_hand(market, 40, "10.10")
    assert market.session.trades["TCS"].held == 6

    sells_by_hand(market, 60, "10.20")

    [outcome] = market.journal.outcomes("T1")
    assert outcome.gross_inr == Decimal("16.00")


def test_a_start_after_such_a_sale_finds_the_same_outcome():
    market = overtaken_by_a_split(credited=90)
    market.session.books.read = lambda: None  # nobody lives to see it
    entry = next(order for order in market.broker.orders() if order.status is OrderStatus.COMPLETE)
    market.broker.place_foreign("TCS", Side.SELL, 100, like=replace(entry, placed_at=market.at))
    market.broker.trade("TCS", Decimal("10.10"), market.at + timedelta(seconds=5))

    later = a_market(split_on(TODAY), journal=market.journal, broker=market.broker, at=market.at + timedelta(minutes=5))

    [outcome] = later.journal.outcomes("T1")
    assert outcome.gross_inr == Decimal("10.00")
    assert later.session.books_equal


def test_actions_are_read_anew_each_day_and_yesterdays_stay_if_they_cannot_be():
    told = [KnownActions(lacking="the lake is damaged"), KnownActions(actions_table([split_on(TOMORROW)]))]

    market = held_over_night(actions=lambda at: told.pop())
    market.at = OPEN
    market.trades("101.00")
    market.clock(OPEN + LATE)

    assert market.working == [(OrderType.LIMIT, 10)]
    assert any("the lake is damaged" in alarm for alarm in market.session.alarms)


def test_while_no_actions_can_be_read_no_delivery_is_entered_and_what_is_held_is_protected():
    first = held_over_night()
    lacking = KnownActions(lacking="the lake is damaged")

    market = a_market(journal=first.journal, broker=first.broker, actions=lambda at: lacking)
    assert market.working == [(OrderType.SL_M, 10)]
    market.trades("105.00")
    market.trades("105.00")
    market.decides(quantity=10, reference_price=Decimal("105.00"), stop=Decimal("104.00"))

    [outcome] = market.journal.outcomes("T1")
    assert outcome.exit_reason is ExitReason.TARGET
    assert rules_that_refused(market) == ["ex-date"]
    assert any("the lake is damaged" in alarm for alarm in market.session.alarms)


def test_what_the_run_knew_counts_though_the_lake_cannot_be_read():
    first = held_over_night()
    known = KnownActions(actions_table([split_on(TODAY)]), "the lake is damaged")

    market = a_market(journal=first.journal, broker=first.broker, actions=lambda at: known)
    market.trades("10.10")

    assert market.working == []
    assert "TCS" in market.session.desk.overtaken


def test_intraday_trades_ask_for_no_actions():
    market = Market(actions=lambda at: pytest.fail("asked"))
    market.decides(quantity=10)

    market.trades("100.00")

    assert market.working == [(OrderType.SL_M, 10)]


def test_before_an_ex_date_a_price_is_met_in_the_frames_that_follow_until_nothing_is_held():
    market = held_over_night(split_on(TOMORROW))
    market.at = OPEN
    market.trades("101.00")
    market.clock(OPEN + LATE)

    for price in ("100.50", "100.00", "99.50"):
        market.at += timedelta(seconds=20)
        market.session.on_frame(Frame(market.at, (Tick("TCS", float(price), 10**6, market.at),)))
    market.trades("99.50")

    [outcome] = market.journal.outcomes("T1")
    assert outcome.exit_reason is ExitReason.EX_DATE
    assert market.broker.shares() == {}
    assert market.session.cash == CASH + outcome.net_inr
