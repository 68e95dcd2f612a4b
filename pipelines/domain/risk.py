"""Rules between a decision and an order. Each returns a verdict with its figures; a decision's size can only be cut.

The rules of entry stand here. Exits and protective stops are never held back by a rule: leaving is always allowed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from pipelines.domain.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """The `executor` section of `params.yaml` as the rules see it; shares are of equity."""

    max_positions: int
    max_position: float
    risk_per_trade: float
    max_gross: float
    min_share_of_decision: float  #: an entry that the sizes above cut to less of what was asked for is not sent
    max_daily_loss: float
    max_price_deviation: float
    max_orders_per_second: int
    stale_after: timedelta  #: market time without a trade before an instrument is not traded
    square_off: timedelta  #: before the session's close nothing new is begun


@dataclass(frozen=True, slots=True)
class Proposal:
    """An entry that a policy asks for, with the market it would meet."""

    symbol: str
    side: Side
    quantity: int  #: shares the policy asks for
    lot_size: int
    product: Product
    reference_price: Decimal  #: the price it was decided at
    stop: Decimal | None
    last_price: Decimal | None  #: of the last trade; None if there was none in this session
    last_trade_at: datetime | None
    now: datetime  #: market time
    session_open: datetime
    session_close: datetime


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is at stake already."""

    equity: Decimal  #: cash plus positions at the last price, rupees
    day_opening_equity: Decimal  #: at the session's start, rupees
    gross_by_symbol: Mapping[str, Decimal]  #: rupees held or on the way in, by symbol
    orders_last_second: int

    @property
    def gross(self) -> Decimal:
        return sum(self.gross_by_symbol.values(), Decimal(0))


@dataclass(frozen=True, slots=True)
class Review:
    """What the rules make of a proposal."""

    quantity: int  #: shares that may be ordered, 0 when refused
    verdicts: tuple[Verdict, ...]  #: of every rule, also those that passed

    @property
    def refusals(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)


def review(proposal: Proposal, exposure: Exposure, limits: RiskLimits) -> Review:
    """Judge an entry by every rule and cut its size to what the limits allow.

    Parameters
    ----------
    proposal : the entry asked for and the market it would meet
    exposure : equity and what is held already
    limits : shares of equity, counts, times

    Returns
    -------
    Review : quantity 0 if a rule refuses or nothing is left after cutting; never more than was asked for.
    """
    rules = (
        session_hours(proposal, limits),
        fresh_price(proposal, limits),
        sane_price(proposal, limits),
        sane_stop(proposal),
        delivery_is_long(proposal),
        one_per_instrument(proposal, exposure),
        position_count(exposure, limits),
        daily_loss(exposure, limits),
        order_rate(exposure, limits),
    )
    if not all(rule.passed for rule in rules):
        return Review(0, rules)
    quantity, sizes = cut_to_limits(proposal, exposure, limits)
    return Review(quantity, (*rules, *sizes))


def session_hours(proposal: Proposal, limits: RiskLimits) -> Verdict:
    last = proposal.session_close - limits.square_off
    inside = proposal.session_open <= proposal.now < last
    minutes_left = (last - proposal.now).total_seconds() / 60
    evidence = f"{proposal.now:%H:%M:%S}; entries from {proposal.session_open:%H:%M} to {last:%H:%M}"
    return Verdict("session hours", inside, round(minutes_left, 2), 0.0, evidence)


def fresh_price(proposal: Proposal, limits: RiskLimits) -> Verdict:
    if proposal.last_trade_at is None:
        # Before the first trade of a session there is nothing to be stale: the order meets the opening price
        return Verdict("stale price", True, None, limits.stale_after.total_seconds(), "no trade yet in this session")
    age = (proposal.now - proposal.last_trade_at).total_seconds()
    evidence = f"last trade at {proposal.last_trade_at:%H:%M:%S}"
    return Verdict(
        "stale price", age <= limits.stale_after.total_seconds(), age, limits.stale_after.total_seconds(), evidence
    )


def sane_price(proposal: Proposal, limits: RiskLimits) -> Verdict:
    last = proposal.last_price if proposal.last_price is not None else proposal.reference_price
    if last <= 0 or proposal.reference_price <= 0:
        return Verdict("price sanity", False, None, limits.max_price_deviation, f"price {last} is not above zero")
    deviation = float(abs(last / proposal.reference_price - 1))
    evidence = f"decided at {proposal.reference_price}, last trade {last}"
    return Verdict(
        "price sanity", deviation <= limits.max_price_deviation, deviation, limits.max_price_deviation, evidence
    )


def sane_stop(proposal: Proposal) -> Verdict:
    if proposal.stop is None:
        return Verdict("stop", False, None, None, "an entry without a stop is not sent")
    price = proposal.last_price or proposal.reference_price
    distance = float((price - proposal.stop) * proposal.side.sign / price)
    return Verdict("stop", distance > 0, distance, 0.0, f"stop {proposal.stop} for {proposal.side} at {price}")


def delivery_is_long(proposal: Proposal) -> Verdict:
    short = proposal.product is Product.CNC and proposal.side is Side.SELL
    return Verdict("short delivery", not short, float(short), 0.0, f"{proposal.side} for {proposal.product}")


def one_per_instrument(proposal: Proposal, exposure: Exposure) -> Verdict:
    held = proposal.symbol in exposure.gross_by_symbol
    return Verdict("one position per instrument", not held, float(held), 0.0, f"{proposal.symbol}")


def position_count(exposure: Exposure, limits: RiskLimits) -> Verdict:
    count = len(exposure.gross_by_symbol)
    return Verdict("number of positions", count < limits.max_positions, float(count), float(limits.max_positions))


def daily_loss(exposure: Exposure, limits: RiskLimits) -> Verdict:
    lost = float(1 - exposure.equity / exposure.day_opening_equity) if exposure.day_opening_equity > 0 else 1.0
    evidence = f"equity {exposure.equity:.2f}, at the session's start {exposure.day_opening_equity:.2f}"
    return Verdict("daily loss", lost < limits.max_daily_loss, lost, limits.max_daily_loss, evidence)


def order_rate(exposure: Exposure, limits: RiskLimits) -> Verdict:
    sent, most = exposure.orders_last_second, limits.max_orders_per_second
    return Verdict("order rate", sent < most, float(sent), float(most), "orders within the last second")


def cut_to_limits(proposal: Proposal, exposure: Exposure, limits: RiskLimits) -> tuple[int, tuple[Verdict, ...]]:
    """The most shares that position size, risk to the stop and gross exposure allow, and how each rule counted.

    Returns
    -------
    quantity : whole lots, at most what was asked for
    verdicts : one per rule; one that leaves no lot has not passed, nor has the last if too little is left
    """
    price = proposal.last_price or proposal.reference_price
    assert proposal.stop is not None
    to_stop = abs(price - proposal.stop)
    equity = max(exposure.equity, Decimal(0))
    room = {
        "position size": (equity * _exact(limits.max_position), price),
        "risk per trade": (equity * _exact(limits.risk_per_trade), to_stop),
        "gross exposure": (equity * _exact(limits.max_gross) - exposure.gross, price),
    }
    quantity, verdicts = proposal.quantity, []
    for gate, (rupees, per_share) in room.items():
        allowed = _whole_lots(rupees, per_share, proposal.lot_size)
        evidence = f"asked for {proposal.quantity} shares, {allowed} are within {rupees:.2f} rupees"
        verdicts.append(Verdict(gate, allowed > 0, float(proposal.quantity), float(allowed), evidence))
        quantity = min(quantity, allowed)
    quantity = quantity // proposal.lot_size * proposal.lot_size
    left = worthwhile(quantity, proposal, limits)
    return quantity if left.passed else 0, (*verdicts, left)


def worthwhile(quantity: int, proposal: Proposal, limits: RiskLimits) -> Verdict:
    """What is left after cutting must carry the charges that do not grow with it, e.g. the DP charge.

    Nothing left is no second refusal: the rule that cut it has said so.
    """
    share = quantity / proposal.quantity
    evidence = f"{quantity} of {proposal.quantity} shares are left"
    passed = quantity == 0 or share >= limits.min_share_of_decision
    return Verdict("share of the decision", passed, share, limits.min_share_of_decision, evidence)


def _whole_lots(rupees: Decimal, per_share: Decimal, lot_size: int) -> int:
    if rupees <= 0 or per_share <= 0:
        return 0
    return math.floor(rupees / per_share / lot_size) * lot_size


def _exact(share: float) -> Decimal:
    return Decimal(str(share))
