"""The session on a broker and a journal in memory: what is done about a trade in every turn it can take."""

import time
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import BooksDiffer, ServiceUnavailable
from pipelines.domain.orders import ENDED, IntentStatus, OrderStatus, OrderType, Product, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from pipelines.journal.memory import MemoryJournal
from serving.executor.bar_builder import BarBuilder, Tick, session_grid
from serving.executor.broker import Refused
from serving.executor.leaving import MOST_INSISTING
from serving.executor.policy_client import Answer
from serving.executor.session import Frame, Session, Terms
from tests.unit.domain.test_risk import LIMITS
from tests.unit.executor.memory_broker import MemoryBroker, instrument_named
from tests.unit.journal.records import a_decision

OPEN = datetime(2026, 10, 30, 9, 15, tzinfo=IST)
CASH = Decimal("1000000.00")
TCS = {"symbol": "TCS", "reference_price": Decimal("100.00")}


class Silent:
    """Features of nothing: the tests hand their decisions in themselves."""

    def update(self, closed):
        return []


class Market:
    """A market in which the test says each price; every price is one frame, as the feed would bring it."""

    def __init__(
        self, journal=None, broker=None, product: Product = Product.MIS, at: datetime = OPEN, final=True, **terms
    ):
        self.broker = broker or MemoryBroker(CASH, at)
        self.journal = journal or MemoryJournal()
        all_terms = Terms("T1", {"TCS": instrument_named("TCS")}, product, LIMITS, flatten_at_end=True, **terms)
        builder = BarBuilder(session_grid(Interval.MIN_5))
        self.session = Session(
            all_terms,
            self.broker,
            self.journal,
            builder,
            Silent(),
            lambda rows, equity: Answer((), "p", 1.0),
            lambda day: final,
        )
        self.session.known_prices.tell("TCS", 100.0)
        self.session.start(at)
        self.at, self.total = at, 0

    def decides(self, **changes) -> None:
        decision = a_decision(**TCS | {"close_time": self.at} | changes)
        self.session.pending.append((self.journal.record_decision("T1", decision, 1.0), decision))
        self.session.on_frame(Frame(self.at))

    def trades(self, price: str, seconds: int = 10, volume: int | None = None) -> None:
        """A price in the market: orders that work meet it, their updates come, then its frame."""
        self.at += timedelta(seconds=seconds)
        before = list(self.broker.book.values())
        self.broker.trade("TCS", Decimal(price), self.at, volume)
        for order in self.broker.book.values():
            if order not in before:
                self.session.on_order_update({"order_id": order.order_id, "status": order.status.value})
        self.total += 1000
        self.session.on_frame(Frame(self.at, (Tick("TCS", float(price), self.total, self.at),)))

    def clock(self, at: datetime) -> None:
        self.at = at
        self.session.on_frame(Frame(at))

    @property
    def working(self) -> list:
        return [(o.order_type, o.quantity) for o in self.broker.orders() if o.status is OrderStatus.WORKING]

    def outcome(self):
        assert self.session.trades == {}
        assert self.session.reconcile() == []
        [outcome] = self.journal.outcomes("T1")
        assert outcome.net_inr == self.broker.ledger - CASH
        return outcome


def test_a_stop_rests_at_the_broker_as_soon_as_the_entry_is_filled():
    market = Market()
    market.decides(quantity=10)

    market.trades("100.00")

    assert market.working == [(OrderType.SL_M, 10)]
    assert market.broker.orders()[-1].trigger_price == Decimal("98.00")
    assert market.broker.orders()[-1].side is Side.SELL


def test_a_position_whose_stop_is_hit_becomes_an_outcome():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")

    market.trades("97.50")

    outcome = market.outcome()
    assert (outcome.exit_reason, outcome.exit_price, outcome.gross_inr) == (
        ExitReason.STOP,
        Decimal("97.5000"),
        Decimal("-25.00"),
    )
    assert sum(outcome.charges.values()) == outcome.gross_inr - outcome.net_inr


def test_at_the_target_the_stop_itself_is_turned_into_the_exit():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")

    market.trades("105.00")
    assert market.working == [(OrderType.LIMIT, 10)]
    market.trades("105.10")

    outcome = market.outcome()
    assert outcome.exit_reason is ExitReason.TARGET
    assert len(market.broker.orders()) == 2, "an entry and a stop, nothing else was ever placed"
    assert (outcome.mfe_inr, outcome.mae_inr) == (Decimal("51.00"), Decimal("0"))


def test_the_time_barrier_counts_the_bars_after_entry():
    market = Market()
    market.decides(quantity=10, hold_bars=2)
    market.trades("100.00", seconds=60)
    market.trades("100.10", seconds=300)
    assert market.working == [(OrderType.SL_M, 10)]

    market.trades("100.20", seconds=300)
    market.trades("100.30")

    outcome = market.outcome()
    assert (outcome.exit_reason, outcome.hold_bars) == (ExitReason.TIME, 2)


def test_intraday_positions_are_closed_before_the_session_ends():
    market = Market(at=OPEN.replace(hour=14, minute=50))
    market.decides(quantity=10)
    market.trades("100.00")

    market.clock(OPEN.replace(hour=14, minute=55))
    market.trades("100.00")

    assert market.outcome().exit_reason is ExitReason.SQUARE_OFF


def test_delivery_stays_overnight_with_a_new_stop_and_is_flattened_on_the_last_day():
    market = Market(product=Product.CNC, at=OPEN.replace(day=29, hour=14), final=False)
    market.session._last_day = lambda day: day == OPEN.date()
    market.decides(quantity=10, hold_bars=1000)
    market.trades("100.00")
    market.clock(OPEN.replace(day=29, hour=15, minute=10))
    assert market.working == [(OrderType.SL_M, 10)]
    stop = market.broker.orders()[-1]
    del market.broker.book[stop.order_id]  # orders are for a day: the next day's book does not show it

    market.clock(OPEN)
    assert market.working == [(OrderType.SL_M, 10)]
    market.clock(OPEN.replace(hour=14, minute=56))
    market.trades("101.00")

    assert market.journal.outcomes("T1")[0].exit_reason is ExitReason.FLATTEN
    assert market.broker.shares() == {}


def test_the_stop_follows_what_was_filled():
    market = Market()
    market.decides(quantity=10)

    market.trades("100.00", volume=4)
    assert (OrderType.SL_M, 4) in market.working
    market.trades("100.00", volume=3)
    assert (OrderType.SL_M, 7) in market.working
    market.trades("100.00", volume=3)

    assert market.working == [(OrderType.SL_M, 10)]


def test_bars_in_which_nothing_traded_count_towards_the_holding_time():
    market = Market()
    market.decides(quantity=10, hold_bars=3)
    market.trades("100.00")

    market.clock(OPEN + timedelta(minutes=10))
    held = market.session.trades["TCS"].position.bars_held
    market.clock(OPEN + timedelta(minutes=15))
    market.trades("100.00")

    assert held == 2
    assert (market.outcome().exit_reason, market.outcome().hold_bars) == (ExitReason.TIME, 3)


def test_an_entry_is_taken_back_when_its_bar_closes_without_any_trade():
    market = Market()
    market.decides(quantity=10)

    market.clock(OPEN + timedelta(minutes=5))
    market.trades("100.00")

    assert market.session.trades == {}
    assert market.broker.shares() == {}


def test_what_could_not_be_sent_in_its_bar_is_not_sent_in_a_later_one():
    market = Market()
    late = a_decision(**TCS | {"close_time": OPEN, "quantity": 10})
    market.session.pending.append((market.journal.record_decision("T1", late, 1.0), late))

    market.clock(OPEN + timedelta(minutes=5))

    assert (market.session.pending, market.broker.orders()) == ([], [])


def test_the_rest_of_an_entry_is_taken_back_when_its_bar_closes():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00", volume=4)

    market.trades("100.00", seconds=300, volume=0)

    assert market.working == [(OrderType.SL_M, 4)]
    assert {intent.status for intent in market.journal.intents("T1")} == {IntentStatus.CANCELLED, IntentStatus.OPEN}


def test_a_stop_that_is_hit_while_the_entry_still_fills_leaves_nothing_open():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00", volume=4)

    market.trades("97.00", volume=2)  # entry and stop fill in the same trade
    for price in ("97.00", "97.00", "97.00"):
        market.trades(price)

    assert market.outcome().exit_reason is ExitReason.STOP
    assert market.broker.shares() == {}


def test_a_refused_stop_means_leaving_at_once():
    market = Market()
    market.decides(quantity=10)
    market.broker.refuses.append("trigger price is beyond the last price")

    market.trades("100.00")
    assert market.working == [(OrderType.MARKET, 10)]
    market.trades("99.90")

    assert market.outcome().exit_reason is ExitReason.EMERGENCY
    assert any("refused the stop" in alarm for alarm in market.session.alarms)


def test_an_exit_refused_because_the_stop_was_just_filled_is_no_second_exit():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")
    market.at += timedelta(seconds=10)
    market.broker.trade("TCS", Decimal("97.00"), market.at)  # filled, and no update has come yet

    market.session.on_frame(Frame(market.at, (Tick("TCS", 105.0, 9000, market.at),)))

    assert market.broker.shares() == {}
    outcome = market.outcome()
    assert (outcome.exit_reason, outcome.gross_inr) == (ExitReason.STOP, Decimal("-30.00"))
    assert [call[0] for call in market.broker.calls] == ["place", "place", "leave"]


def test_a_stop_that_cannot_be_turned_is_replaced():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")
    market.broker.refuses += ["no", "no"]

    for price in ("105.00", "105.00", "105.00", "105.00", "105.00"):
        market.trades(price)

    assert market.outcome().exit_reason is ExitReason.TARGET
    assert "cancel" in [call[0] for call in market.broker.calls]


def test_a_refused_entry_is_noted_and_leaves_nothing():
    market = Market()
    market.broker.refuses.append("Insufficient funds")

    market.decides(quantity=10)

    assert market.session.trades == {}
    [event] = market.journal.risk_events("T1")
    assert (event["rule"], event["evidence"]) == ("the broker", "Insufficient funds")
    assert [intent.status for intent in market.journal.intents("T1")] == [IntentStatus.REJECTED]


def test_what_the_rules_refuse_is_never_sent():
    market = Market()

    market.decides(quantity=10, stop=None)

    assert market.broker.calls == []
    assert market.journal.risk_events("T1")[0]["rule"] == "stop"


def test_a_size_is_cut_before_it_is_sent():
    market = Market()

    market.decides(quantity=5000, stop=Decimal("99.50"))

    assert market.broker.orders()[0].quantity == 1000


def test_one_instrument_is_held_once():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")

    market.decides(quantity=10, close_time=market.at)

    assert market.working == [(OrderType.SL_M, 10)]


def test_without_an_answer_from_the_policy_there_is_no_order():
    market = Market()

    def silent(rows, equity):
        raise ServiceUnavailable("the policy service does not answer")

    market.session.entering._decide = silent
    market.session.decide_on_history([type("Row", (), {"close_time": OPEN, "symbol": "TCS", "values": {}})()])

    assert market.broker.calls == []
    assert "does not answer" in market.session.alarms[0]


def test_a_decision_is_journaled_with_the_stage_it_was_served_from():
    market, decision = Market(stage="canary"), a_decision(**TCS | {"close_time": OPEN})
    market.session.entering._decide = lambda rows, equity: Answer((decision,), decision.policy_version, 1.0)

    market.session.decide_on_history([type("Row", (), {"close_time": OPEN, "symbol": "TCS", "values": {}})()])

    assert market.journal.stage_closes(decision.policy_version, "canary", OPEN) == [OPEN]
    assert market.journal.stage_closes(decision.policy_version, "paper", OPEN) == []


def test_the_brokers_own_square_off_closes_the_trade_in_our_books_too():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")
    stop = market.broker.orders()[-1]
    market.broker.cancel(stop.order_id)
    market.broker.place_foreign("TCS", Side.SELL, 10, stop)
    market.session.on_order_update({"order_id": "x", "status": "OPEN"})

    market.trades("99.00")

    assert market.broker.shares() == {}
    assert market.session.trades == {}
    assert any("not ours" in alarm or "by its own order" in alarm for alarm in market.session.alarms)


@pytest.mark.parametrize("moment", ["after the entry was sent", "with an open position", "while leaving"])
def test_after_a_death_the_next_start_goes_on_where_it_stood(moment):
    first = Market()
    first.decides(quantity=10)
    if moment != "after the entry was sent":
        first.trades("100.00")
    if moment == "while leaving":
        first.trades("105.00")

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total
    for price in ("100.00", "97.00", "97.00", "97.00", "97.00"):
        second.trades(price)

    expected = ExitReason.TARGET if moment == "while leaving" else ExitReason.STOP
    assert second.outcome().exit_reason is expected
    assert len(second.broker.orders()) == 2


def test_an_intent_that_was_never_sent_is_abandoned_at_the_next_start():
    first = Market()
    place = first.broker.place

    def dies_before_placing(intent):
        raise KeyboardInterrupt

    first.broker.place = dies_before_placing
    with pytest.raises(KeyboardInterrupt):
        first.decides(quantity=10)
    first.broker.place = place

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.trades("100.00", seconds=61)

    assert second.broker.orders() == []
    assert [intent.status for intent in first.journal.intents("T1")] == [IntentStatus.ABANDONED]


def test_an_order_whose_answer_was_lost_is_found_by_its_tag_and_not_sent_again():
    first = Market()
    place = first.broker.place

    def dies_after_placing(intent):
        place(intent)
        raise KeyboardInterrupt

    first.broker.place = dies_after_placing
    with pytest.raises(KeyboardInterrupt):
        first.decides(quantity=10)
    first.broker.place = place

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.trades("100.00")

    assert [order.order_type for order in second.broker.orders()] == [OrderType.MARKET, OrderType.SL_M]
    assert second.session.trades["TCS"].held == 10


@pytest.mark.parametrize("died", ["before sending", "after sending"])
def test_a_stop_that_was_being_placed_at_a_death_rests_once_after_the_next_start(died):
    first = Market()
    first.decides(quantity=10)
    place = first.broker.place

    def dies(intent):
        if died == "after sending":
            place(intent)
        raise KeyboardInterrupt

    first.broker.place = dies
    with pytest.raises(KeyboardInterrupt):
        first.trades("100.00")
    first.broker.place = place

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.session.on_frame(Frame(first.at))

    assert second.working == [(OrderType.SL_M, 10)]


def test_what_a_death_left_without_its_stop_is_protected_before_the_first_frame():
    first = Market()
    first.decides(quantity=10)
    first.broker.trade("TCS", Decimal("100.00"), first.at)

    second = Market(journal=first.journal, broker=first.broker, at=first.at)

    assert second.working == [(OrderType.SL_M, 10)]


def test_a_death_at_each_of_two_tries_to_protect_leaves_no_shares_bare():
    first = Market()
    first.decides(quantity=10)
    place = first.broker.place

    def dies(intent):
        raise KeyboardInterrupt

    first.broker.place = dies
    with pytest.raises(KeyboardInterrupt):
        first.trades("97.00")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            Market(journal=first.journal, broker=first.broker, at=first.at)
    first.broker.place = place

    Market(journal=first.journal, broker=first.broker, at=first.at)

    assert sum(order.pending_quantity for order in first.broker.orders() if order.side is Side.SELL) == 10


def test_a_stop_that_is_touched_while_the_entry_fills_further_takes_all_shares_back():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00", volume=4)
    entry, stop = market.broker.orders()
    market.broker.book[stop.order_id] = replace(
        stop, order_type=OrderType.LIMIT, limit_price=Decimal("97.00"), triggered=True
    )
    market.broker._fill(entry, 6, Decimal("100.00"))

    market.clock(market.at + timedelta(seconds=10))

    assert [quantity for _, quantity in market.working] == [10]


class Slow(MemoryBroker):
    """Loses its answer to one purpose's orders; they arrive only later."""

    def __init__(self, purpose: Purpose):
        super().__init__(CASH, OPEN)
        self.purpose, self.under_way = purpose, []

    def place(self, intent):
        if intent.purpose is not self.purpose or self.under_way:
            return super().place(intent)
        self.under_way.append(intent)
        self.calls.append(("place", intent.purpose.value, intent.quantity))
        return Refused("no answer", unclear=True)

    def arrives(self):
        super().place(self.under_way[0])


def test_an_entry_that_arrives_after_it_was_held_to_be_lost_gets_its_stop():
    broker = Slow(Purpose.ENTRY)
    market = Market(broker=broker)
    market.decides(quantity=10)
    assert market.session.open_positions == 0
    market.decides(quantity=10, close_time=OPEN + timedelta(seconds=1))
    assert broker.orders() == [], "while one may be under way no other is sent"

    broker.arrives()
    market.trades("100.00")

    assert market.working == [(OrderType.SL_M, 10)]
    assert any("held to be lost" in alarm for alarm in market.session.alarms)
    market.trades("97.00")
    assert market.outcome().exit_reason is ExitReason.STOP


def test_a_stop_that_arrives_after_another_took_its_place_is_taken_back():
    broker = Slow(Purpose.STOP)
    market = Market(broker=broker)
    market.decides(quantity=10)
    market.trades("100.00")
    assert market.working == [(OrderType.SL_M, 10)]

    broker.arrives()
    market.trades("100.00")
    assert market.working == [(OrderType.SL_M, 10)]
    market.trades("97.00")

    assert market.working == []
    assert broker.shares() == {}
    assert market.outcome().exit_reason is ExitReason.STOP


def test_shares_are_not_left_bare_for_an_exit_without_an_answer():
    broker = Slow(Purpose.EXIT)
    market = Market(broker=broker)
    market.decides(quantity=10)
    market.trades("97.00")
    assert [quantity for _, quantity in market.working] == [10]

    broker.arrives()
    market.trades("97.00")
    market.trades("97.00")

    assert market.working == []
    assert broker.shares() == {}
    assert market.outcome().exit_reason is ExitReason.STOP


def test_a_stop_that_was_told_to_grow_in_vain_is_told_again_while_shares_are_bare():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00", volume=4)
    resize, answers = market.broker.resize, [Refused("no answer", unclear=True)]
    market.broker.resize = lambda *asked: answers.pop() if answers else resize(*asked)

    market.trades("100.00", volume=6)

    assert market.working == [(OrderType.SL_M, 10)]


def test_what_the_broker_closed_after_the_last_frame_becomes_an_outcome_at_the_end():
    broker = Slow(Purpose.STOP)
    market = Market(broker=broker)
    market.decides(quantity=10)
    market.trades("100.00")
    stop = broker.orders()[-1]
    broker.trade("TCS", Decimal("97.00"), market.at)
    assert stop.status is OrderStatus.WORKING

    assert market.session.end() == []

    assert [outcome.quantity for outcome in market.journal.outcomes("T1")] == [10]
    assert all(intent.status in ENDED for intent in market.journal.intents("T1"))


def test_what_the_books_hide_for_many_readings_at_the_end_is_waited_for():
    broker = Slow(Purpose.STOP)
    market = Market(broker=broker)
    market.decides(quantity=10)
    market.trades("100.00")
    broker.trade("TCS", Decimal("97.00"), market.at)
    orders, fills, hidden = broker.orders, broker.fills, iter(range(20))
    broker.orders = lambda: orders() if next(hidden, None) is None else orders()[:-1]
    broker.fills = lambda: fills() if next(hidden, None) is None else fills()[:-1]

    assert market.session.end() == []

    assert [outcome.quantity for outcome in market.journal.outcomes("T1")] == [10]


def test_a_stop_does_not_outlive_a_position_that_a_person_closed():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")
    stop = market.broker.orders()[-1]
    market.broker.place_foreign("TCS", Side.SELL, 10, stop)

    market.trades("101.00")

    assert market.working == []
    assert market.broker.shares() == {}
    assert market.session.trades == {}


def test_a_stop_that_cannot_follow_is_replaced_by_one_of_the_right_size():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00", volume=4)
    market.broker.resize = lambda *_: Refused("Maximum allowed order modifications exceeded.")

    for volume in (3, 3, 0, 1):
        market.trades("100.00", volume=volume)

    assert market.working == [(OrderType.SL_M, 10)]


def test_an_exit_that_the_broker_takes_and_cancels_is_sent_again_a_few_times_only():
    market = Market()
    market.decides(quantity=10)
    market.broker.refuses.append("trigger price is beyond the last price")
    place = market.broker.place

    def takes_and_cancels(intent):
        order_id = place(intent)
        if intent.purpose is Purpose.EXIT:
            market.broker.cancel(order_id)
        return order_id

    market.broker.place = takes_and_cancels
    market.trades("100.00")
    assert len([call for call in market.broker.calls if call[:2] == ("place", "exit")]) == 1 + MOST_INSISTING

    market.broker.place = place
    market.trades("100.00")
    market.trades("100.00")
    assert market.outcome().exit_reason is ExitReason.EMERGENCY


def test_a_fill_whose_update_was_lost_is_seen_at_the_next_frame():
    market = Market()
    market.decides(quantity=10)
    market.at += timedelta(seconds=10)
    market.broker.trade("TCS", Decimal("100.00"), market.at)

    market.session.on_frame(Frame(market.at, (Tick("TCS", 100.0, 1000, market.at),)))

    assert market.working == [(OrderType.SL_M, 10)]


def test_books_that_differ_at_the_start_are_named_and_nothing_is_traded():
    market = Market()
    market.broker.shares = lambda: {"TCS": 10}

    with pytest.raises(BooksDiffer, match="TCS: our fills leave 0 shares, the broker holds 10"):
        Market(journal=market.journal, broker=market.broker)


def test_a_burst_of_order_updates_reads_the_books_once_and_again_a_moment_later(monkeypatch):
    market = Market(look_every_s=0.15)
    wall = [time.monotonic() + 10]
    monkeypatch.setattr("time.monotonic", lambda: wall[0])
    reads = []
    read = market.broker.orders
    market.broker.orders = lambda: reads.append(wall[0]) or read()

    for _ in range(10):
        market.session.on_order_update({"order_id": "1", "status": "OPEN"})
        market.session.on_books_changed()
        wall[0] += 0.02
    wall[0] += 0.15
    market.session.on_books_changed()

    assert len(reads) == 3, "two in a fifth of a second, and what was left"
