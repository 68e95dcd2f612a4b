from decimal import Decimal

import pytest

from pipelines.domain.errors import BadParams
from pipelines.domain.orders import OrderType
from pipelines.domain.signals import Side
from serving.exchange.fault_forms import fault_from
from serving.exchange.faults import (
    BURST,
    CALLS,
    EVENTS,
    Fault,
    FaultKind,
    FaultPlan,
    Faults,
    Purpose,
    as_dict,
    order_purpose,
)
from serving.exchange.refusals import KiteError
from tests.unit.exchange.builders import DAY, a_request, a_venue, flat_bars, play


def decided(faults: Faults, route: str, times: int) -> list[str | None]:
    found = [faults.decide(CALLS, route) for _ in range(times)]
    return [injection.kind.value if injection else None for injection in found]


def test_a_plan_deals_the_same_faults_for_the_same_calls_whatever_comes_between():
    alone, among_others = Faults(FaultPlan.seeded(5, 0.1)), Faults(FaultPlan.seeded(5, 0.1))

    first = decided(alone, "POST /orders/regular", 100)
    second = []
    for number in range(100):
        decided(among_others, "GET /orders", number % 3)
        among_others.decide(EVENTS, "event")
        second += decided(among_others, "POST /orders/regular", 1)

    assert first == second
    assert any(first)
    assert first != decided(Faults(FaultPlan.seeded(6, 0.1)), "POST /orders/regular", 100)


def test_a_plan_hits_about_as_often_as_its_rate_says():
    plan = FaultPlan.seeded(3, {FaultKind.ANSWER_LOST: 0.2})

    hits = sum(plan.hit(FaultKind.ANSWER_LOST, "POST /orders", n) is not None for n in range(5000))

    assert 0.18 < hits / 5000 < 0.22
    assert not any(plan.hit(FaultKind.RESET_BEFORE, "POST /orders", n) for n in range(100))


def test_a_plans_429_come_in_bursts():
    plan = FaultPlan.seeded(3, {FaultKind.TOO_MANY_REQUESTS: 0.01})

    hit = [plan.hit(FaultKind.TOO_MANY_REQUESTS, "GET /orders", n) is not None for n in range(2000)]

    runs = "".join("x" if one else " " for one in hit).split()
    assert runs
    assert all(len(run) >= BURST for run in runs)


@pytest.mark.parametrize("rates", [-0.1, 1.1, {FaultKind.ANSWER_LOST: 2.0}])
def test_a_rate_that_is_no_share_is_refused(rates):
    with pytest.raises(BadParams, match="shares"):
        FaultPlan.seeded(1, rates)


def test_an_armed_fault_lets_others_pass_then_happens_as_often_as_asked():
    faults = Faults()
    faults.arm(Fault(FaultKind.ANSWER_LOST, route="POST /orders", after=1, count=2))

    found = decided(faults, "GET /orders", 3) + decided(faults, "POST /orders/regular", 5)

    assert found == [None, None, None, None, "answer_lost", "answer_lost", None, None]
    assert not faults.active


def test_armed_faults_happen_one_at_a_time_in_the_order_they_came():
    faults = Faults()
    faults.arm(Fault(FaultKind.SLOW_ANSWER), Fault(FaultKind.RESET_BEFORE))

    assert decided(faults, "GET /orders", 3) == ["slow_answer", "reset_before", None]


def test_taking_faults_back_ends_the_plan_too():
    faults = Faults(FaultPlan.seeded(1, 1.0))
    faults.arm(Fault(FaultKind.SLOW_ANSWER))

    waited = faults.disarm()

    assert waited == 1
    assert not faults.active
    assert decided(faults, "GET /orders", 3) == [None, None, None]


def test_what_was_injected_is_counted_and_listed():
    faults = Faults()
    faults.arm(Fault(FaultKind.SLOW_ANSWER, count=2))
    faults.decide(CALLS, "GET /orders", about={"step": 4})
    faults.decide(EVENTS, "event")

    told = faults.told()

    assert (told["injected"], told["counts"]["slow_answer"]) == (1, 1)
    assert told["last"] == [{"number": 1, "kind": "slow_answer", "route": "GET /orders", "step": 4}]
    assert [fault["count"] for fault in told["waiting"]] == [1]


def test_a_fault_reads_back_as_it_was_asked_for():
    fault = Fault(FaultKind.SERVER_ERROR, "PUT /orders", 3, 2, 0.5, Purpose.EXIT, "ALPHA", 504, executed=True)

    assert fault_from(as_dict(fault)) == fault


def test_an_unknown_field_is_named():
    with pytest.raises(KiteError, match="when"):
        fault_from({"kind": "slow_answer", "when": "now"})


@pytest.mark.parametrize(
    ("order_type", "side", "held", "purpose"),
    [
        (OrderType.SL_M, Side.SELL, 10, Purpose.STOP),
        (OrderType.MARKET, Side.SELL, 10, Purpose.EXIT),
        (OrderType.LIMIT, Side.BUY, -10, Purpose.EXIT),
        (OrderType.MARKET, Side.BUY, 0, Purpose.ENTRY),
        (OrderType.MARKET, Side.BUY, 10, Purpose.ENTRY),
    ],
)
def test_the_purpose_of_an_order_follows_from_its_terms_and_the_position(order_type, side, held, purpose):
    assert order_purpose(a_request(order_type=order_type, side=side), held) is purpose


def test_a_part_that_fills_before_the_cancel_is_held_and_charged():
    venue = a_venue(flat_bars("ALPHA", DAY))
    venue.faults.arm(Fault(FaultKind.FILL_THEN_CANCEL))
    venue.advance()
    order = venue.place(a_request(quantity=10))

    play(venue, until=venue.session.open)
    venue.advance()

    ended = venue.book.find(order.order_id)
    assert (ended.status.value, ended.filled_quantity, ended.cancelled_quantity) == ("CANCELLED", 5, 5)
    assert venue.account.net_quantity("ALPHA", ended.request.product) == 5
    assert venue.charges_of[order.order_id].total > Decimal(0)


def test_an_order_of_one_share_cannot_be_cut_and_the_fault_waits():
    venue = a_venue(flat_bars("ALPHA", DAY))
    venue.faults.arm(Fault(FaultKind.FILL_THEN_CANCEL))
    venue.advance()
    order = venue.place(a_request(quantity=1))

    venue.advance()
    venue.advance()

    assert venue.book.find(order.order_id).status.value == "COMPLETE"
    assert venue.faults.active


def test_an_order_that_is_taken_twice_is_two_orders_of_one_tag():
    venue = a_venue(flat_bars("ALPHA", DAY))
    venue.faults.arm(Fault(FaultKind.TAKEN_TWICE))
    venue.advance()

    first = venue.place(a_request(quantity=10, tag="TS1"))

    orders = [order for order in venue.orders() if order.request.tag == "TS1"]
    assert len(orders) == 2
    assert orders[0].order_id == first.order_id
    venue.place(a_request(quantity=10, tag="TS2"))
    assert len(venue.orders()) == 3, "once"


def test_a_fill_after_a_cancel_is_held_and_charged_as_a_whole():
    venue = a_venue(flat_bars("ALPHA", DAY))
    plain = a_venue(flat_bars("ALPHA", DAY))
    venue.faults.arm(Fault(FaultKind.FILL_AFTER_CANCEL))
    for each in (venue, plain):
        play(each, until=each.session.open)
        each.advance()
    order = venue.place(a_request(quantity=10, order_type=OrderType.LIMIT, price=Decimal("90.00")))
    venue.cancel(order.order_id)
    assert venue.book.find(order.order_id).filled_quantity == 0

    for _ in range(5):
        venue.advance()

    ended = venue.book.find(order.order_id)
    assert (ended.status.value, ended.filled_quantity) == ("CANCELLED", 10)
    assert venue.account.net_quantity("ALPHA", ended.request.product) == 10
    charges = venue.charges_of[order.order_id].total
    assert charges == venue.account.charges.total > 0
    assert venue.account.cash == venue.account.opening_cash - ended.filled_value - charges
