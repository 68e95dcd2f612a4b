"""Trades of others in our account, by hand or by a program: counted once, and nothing of ours is touched by them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.orders import Intent, IntentStatus, OrderStatus, OrderType, Product, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from pipelines.journal.memory import MemoryJournal
from tests.unit.executor.memory_broker import MemoryBroker
from tests.unit.executor.test_session import CASH, OPEN, Market
from tests.unit.executor.test_watch import TRIGGERS


def by_hand(broker: MemoryBroker, side: Side, quantity: int, price: str, symbol="TCS", product=Product.MIS) -> str:
    """A person's order that fills at once."""
    intent = Intent(
        "hand", "", None, Purpose.ENTRY, symbol, side, quantity, OrderType.MARKET, product, None, None,
        IntentStatus.SENT, broker.now,
    )  # fmt: skip
    order_id = broker.place(intent)
    broker.calls.pop()
    broker.book[order_id] = replace(broker.book[order_id], tag=None)
    broker._fill(broker.book[order_id], quantity, Decimal(price))
    return order_id


def held(quantity: int = 50, side: Side = Side.BUY, **terms) -> Market:
    market = Market(triggers=TRIGGERS, **terms)
    away = 2 * side.sign
    market.decides(
        quantity=quantity, side=side, stop=Decimal(100 - away), target=Decimal(100 + 5 * side.sign), hold_bars=100
    )
    market.trades("100.00")
    assert market.working == [(OrderType.SL_M, quantity)]
    return market


def seen(market: Market, price: str = "100.00") -> None:
    """The next frame, a second later; the hand's order had its update."""
    market.at += timedelta(seconds=1)
    market.broker.now = market.at
    market.session.on_connection_lost()
    market.trades(price, seconds=1)


# --- risk ---


def test_what_a_person_buys_in_a_stock_that_is_not_traded_is_no_loss_of_ours():
    market = Market(triggers=TRIGGERS)

    by_hand(market.broker, Side.BUY, 300, "500.00", symbol="RELIANCE")
    seen(market)

    assert market.session.equity == CASH
    assert market.session.risk.told()["drawdown"] == 0
    assert market.session.desk.trading.may_enter().passed
    assert market.session.cash == market.broker.ledger
    assert market.session.reconcile() == []


def test_what_a_person_gains_is_no_peak_of_ours():
    market = held()

    by_hand(market.broker, Side.BUY, 1000, "100.00", symbol="RELIANCE")
    by_hand(market.broker, Side.SELL, 1000, "200.00", symbol="RELIANCE")
    seen(market)

    assert market.session.equity < CASH + 1
    assert market.session.reconcile() == []


@pytest.mark.parametrize("symbol", ["TCS", "RELIANCE"])
def test_a_trade_by_hand_before_the_first_start_does_not_prevent_it(symbol):
    broker = MemoryBroker(CASH, OPEN)
    by_hand(broker, Side.BUY, 300, "500.00", symbol=symbol)
    by_hand(broker, Side.SELL, 100, "501.00", symbol=symbol)

    market = Market(broker=broker)

    assert market.session.reconcile() == []
    assert market.session.cash == broker.ledger
    assert market.session.equity == CASH
    again = Market(journal=market.journal, broker=broker)
    assert again.session.equity == CASH


def test_an_order_by_hand_that_works_at_the_first_start_is_counted_once():
    broker = MemoryBroker(CASH, OPEN)
    order_id = by_hand(broker, Side.BUY, 10, "100.00")
    broker.book[order_id] = replace(broker.book[order_id], quantity=30, status=OrderStatus.WORKING)

    market = Market(broker=broker)
    market.broker._fill(broker.book[order_id], 20, Decimal("100.00"))
    market.session.on_connection_lost()
    market.trades("100.00")

    assert broker.shares() == {"TCS": 30}
    assert [line for line in market.session.reconcile() if "shares" in line] == []


def test_what_others_trade_on_another_exchange_does_not_halt_us():
    told = ["others trade NIFTY26NOVFUT (NFO, NRML), which we do not read"]
    market = held(untold=lambda: told[-1])
    market.broker.ledger -= Decimal("1234.50")

    assert market.session.reconcile() == []
    assert any("not compared" in alarm for alarm in market.session.alarms)
    told.append("")  # they are out of it, and have left a gain
    again = Market(journal=market.journal, broker=market.broker, at=market.at)
    assert again.session.reconcile() == []


def test_a_holding_of_another_stock_that_changes_is_none_of_our_business():
    market = Market()
    shares = market.broker.shares
    market.broker.shares = lambda: {**shares(), "INFY": 7}

    assert market.session.reconcile() == []


def test_orders_of_others_take_nothing_of_what_we_may_enter():
    market = Market(triggers=TRIGGERS)
    by_hand(market.broker, Side.BUY, 300, "500.00", symbol="RELIANCE")
    seen(market)

    market.decides(quantity=10)
    market.trades("100.00")

    assert market.working == [(OrderType.SL_M, 10)]


# --- in our symbol ---


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize(("quantity", "on_our_side"), [(20, True), (50, True), (100, True), (20, False), (100, False)])
def test_a_round_trip_by_hand_leaves_our_trade_as_it_was(side, quantity, on_our_side):
    market = held(side=side)
    one = side if on_our_side else side.opposite

    by_hand(market.broker, one, quantity, "100.10")
    seen(market)
    by_hand(market.broker, one.opposite, quantity, "100.20")
    seen(market)
    seen(market)

    assert market.working == [(OrderType.SL_M, 50)]
    assert market.session.trades["TCS"].held == 50
    assert market.session.reconcile() == []
    market.trades("105.00" if side is Side.BUY else "95.00")
    market.trades("105.10" if side is Side.BUY else "94.90")
    [outcome] = market.journal.outcomes("T1")
    assert (outcome.exit_reason, outcome.quantity) == (ExitReason.TARGET, 50)
    own = {order.order_id for order in market.broker.book.values() if order.tag}
    fills = [fill for fill in market.broker.trade_book if fill.order_id in own]
    assert outcome.gross_inr == sum(-fill.side.sign * fill.price * fill.quantity for fill in fills)
    assert market.session.equity == CASH + outcome.net_inr


def test_while_a_person_is_short_beyond_our_shares_no_order_of_ours_sells_more():
    market = held()

    by_hand(market.broker, Side.SELL, 100, "100.00")
    seen(market)

    assert market.broker.shares() == {"TCS": -50}
    assert market.working == []
    assert any("take" in alarm or "took" in alarm for alarm in market.session.alarms)


def test_what_a_person_sells_of_ours_is_never_sold_twice():
    market = held()

    by_hand(market.broker, Side.SELL, 20, "100.00")
    seen(market)

    assert market.working == [(OrderType.SL_M, 30)]
    assert any("20 shares of our trade; 30 are left" in alarm for alarm in market.session.alarms)
    market.trades("97.00")
    assert market.broker.shares() == {}
    outcome = market.outcome()
    assert (outcome.quantity, outcome.exit_reason) == (50, ExitReason.STOP)


def test_a_sale_by_hand_that_crosses_with_our_stop_leaves_no_short():
    market = held()
    by_hand(market.broker, Side.SELL, 50, "99.00")

    market.trades("97.00", seconds=1)  # our stop fills before anybody saw the sale
    assert market.broker.shares() == {"TCS": -50}
    market.session.on_connection_lost()
    for _ in range(3):
        market.trades("97.00")

    assert market.broker.shares() == {}
    assert market.session.trades == {}
    assert market.session.reconcile() == []


def test_others_sell_their_own_shares_before_ours():
    market = Market(triggers=TRIGGERS)
    by_hand(market.broker, Side.BUY, 100, "100.00")
    seen(market)
    market.decides(quantity=50)
    market.trades("100.00")

    by_hand(market.broker, Side.SELL, 100, "100.00")
    seen(market)

    assert market.session.trades["TCS"].held == 50
    assert market.working == [(OrderType.SL_M, 50)]


def test_shares_held_since_before_our_time_are_sold_by_their_owner_alone():
    broker = MemoryBroker(CASH, OPEN)
    own = broker.shares
    broker.shares = lambda: {"TCS": 100 + own().get("TCS", 0)}
    broker.margin = lambda: CASH
    market = Market(broker=broker, product=Product.CNC)
    market.decides(quantity=50)
    market.trades("100.00")

    by_hand(broker, Side.SELL, 100, "100.00", product=Product.CNC)
    seen(market)

    assert market.session.trades["TCS"].held == 50
    assert market.working == [(OrderType.SL_M, 50)]
    assert not any("shares of our trade" in alarm for alarm in market.session.alarms)


def test_an_instrument_that_others_hold_on_the_other_side_is_not_entered():
    market = Market()
    by_hand(market.broker, Side.SELL, 100, "100.00")
    seen(market)

    market.decides(quantity=10)
    market.decides(quantity=10, side=Side.SELL, stop=Decimal("102.00"), target=Decimal("95.00"))

    assert [call[:2] for call in market.broker.calls] == [("place", "entry")]
    assert [event["rule"] for event in market.journal.risk_events("T1")] == ["others' position"]


def test_a_round_trip_bigger_than_ours_outlives_a_death_in_its_midst():
    first = held()
    by_hand(first.broker, Side.SELL, 100, "100.10")
    seen(first)

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total
    by_hand(second.broker, Side.BUY, 100, "100.20")
    third = Market(journal=first.journal, broker=first.broker, at=first.at + timedelta(seconds=5))

    assert third.working == [(OrderType.SL_M, 50)]
    assert third.session.trades["TCS"].position.exit_reason is None
    assert third.session.reconcile() == []


def test_a_round_trip_that_ends_after_a_death_gives_ours_back_though_no_update_tells():
    first = held()
    by_hand(first.broker, Side.SELL, 100, "100.10")
    seen(first)
    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total

    second.broker.now = second.at
    by_hand(second.broker, Side.BUY, 100, "100.20")
    second.trades("100.00", seconds=2)

    assert second.working == [(OrderType.SL_M, 50)]


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_nothing_is_entered_while_others_may_give_back_what_they_took(side):
    market = held(50, Side.SELL)
    by_hand(market.broker, Side.BUY, 120, "100.00")
    seen(market)
    seen(market)

    stop, target = Decimal(100 - 2 * side.sign), Decimal(100 + 5 * side.sign)
    market.decides(quantity=50, side=side, stop=stop, target=target)
    by_hand(market.broker, Side.SELL, 120, "99.00")
    seen(market)

    assert [event["rule"] for event in market.journal.risk_events("T1")] == ["others' position"]
    assert market.session.trades["TCS"].held == 50
    assert market.working == [(OrderType.SL_M, 50)]


def test_shares_come_back_that_a_person_took_before_we_sold_the_rest():
    market = held()
    by_hand(market.broker, Side.SELL, 20, "100.10")
    seen(market)
    market.trades("97.90")  # the stop sells the other 30
    assert "TCS" not in market.session.trades
    assert market.broker.shares() == {}

    by_hand(market.broker, Side.BUY, 20, "98.00")
    seen(market)

    assert market.session.trades["TCS"].held == 20
    assert [quantity for _, quantity in market.working] == [20]


def test_the_part_of_a_persons_order_that_took_ours_bears_its_part_of_the_charges():
    market = held()
    by_hand(market.broker, Side.SELL, 200, "100.00")
    seen(market)
    seen(market)

    [outcome] = market.journal.outcomes("T1")

    [theirs] = [order for order in market.broker.book.values() if order.tag is None]
    whole = market.session.books.ledger.charges_of([theirs.order_id]).total
    ours = [o.order_id for o in market.broker.book.values() if o.tag is not None]
    own = market.session.books.ledger.charges_of(ours).total
    assert sum(outcome.charges.values()) - own == pytest.approx(whole / 4, abs=Decimal("0.04"))


def test_an_account_that_a_person_trades_in_beside_us_begins_anew_with_an_empty_journal():
    market = held()
    by_hand(market.broker, Side.BUY, 10, "100.00", symbol="RELIANCE")

    again = Market(journal=MemoryJournal(), broker=market.broker, at=market.at)

    assert again.session.reconcile() == []


def test_an_order_by_hand_that_fills_against_our_entry_as_it_is_entered_takes_nothing_of_it():
    market = Market(triggers=TRIGGERS)
    market.decides(quantity=50, side=Side.SELL, stop=Decimal("102.00"), target=Decimal("95.00"))

    market.at += timedelta(seconds=1)
    market.broker.now = market.at
    by_hand(market.broker, Side.BUY, 20, "100.00")  # in the second of our fill, and before it
    market.session.on_connection_lost()
    market.broker.trade("TCS", Decimal("100.00"), market.at)
    market.trades("100.00", seconds=1)
    market.trades("100.00", seconds=1)

    assert market.session.trades["TCS"].held == 50
    assert market.working == [(OrderType.SL_M, 50)]
    market.trades("102.50")
    [outcome] = market.journal.outcomes("T1")
    assert outcome.gross_inr == Decimal("-125.00")
    assert market.session.equity == CASH + outcome.net_inr


def test_what_closes_an_older_short_of_theirs_gives_nothing_of_ours_back():
    market = Market(triggers=TRIGGERS)
    market.decides(quantity=50, hold_bars=100)
    by_hand(market.broker, Side.SELL, 49, "100.00")  # between our decision and its fill
    market.trades("100.00")
    by_hand(market.broker, Side.SELL, 173, "100.00")  # all of ours, and 123 of their own
    seen(market)
    assert market.session.trades == {}

    by_hand(market.broker, Side.BUY, 172, "100.00")  # nothing is left in the account
    seen(market)

    assert market.broker.shares() == {}
    assert market.session.trades == {}
    assert market.working == []
    by_hand(market.broker, Side.BUY, 49, "100.00")
    seen(market)
    assert market.session.trades["TCS"].held == 49
    assert market.working == [(OrderType.SL_M, 49)]
