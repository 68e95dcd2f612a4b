"""What orders that are not ours took back of a trade's shares, and gave back again. Pure.

An account has one net position in an instrument: what a person or the broker sells there may be their own shares or
ours. Their own go first. What they sell beyond those is ours, up to what we hold; what they buy afterwards gives ours
back before it is theirs. So a round trip of theirs, on either side, leaves our shares as they were.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from pipelines.domain.signals import Side
from serving.executor.legs import Leg


@dataclass(frozen=True, slots=True)
class Taken:
    """Shares of a trade that orders which are not ours hold taken back."""

    shares: Fraction  #: counted as the entry's shares
    value: Decimal  #: rupees that they traded for
    by_order: dict[str, Fraction]  #: share of each order's fills that took them, from 0 to 1


@dataclass(frozen=True, slots=True)
class _Event:
    at: datetime
    number: str
    leg: Leg
    shares: int
    price: Decimal


@dataclass(slots=True)
class _Lot:
    order_id: str
    shares: Fraction
    ratio: Fraction
    price: Decimal


NOTHING = Taken(Fraction(0), Decimal(0), {})


def taken_by_others(
    legs: Iterable[Leg], side: Side, before: int, ratio_on: Callable[[date], Fraction], *, ahead: bool
) -> Taken:
    """Follow the fills in order of time.

    Parameters
    ----------
    legs : of a trade, ours and those that are not
    side : of the trade
    before : shares that others held on the trade's side when it began, below zero when short; they sell those first
    ratio_on : shares on a day for one of the entry, after splits and bonuses
    ahead : whether shares count that only the order book tells of
    """
    legs = tuple(legs)
    if all(leg.ours or not leg.done for leg in legs):
        return NOTHING
    own, others, taken = 0, Fraction(max(before, 0)), Fraction(0)
    net_of_others = Fraction(before)  # also what they were short before
    lots: list[_Lot] = []
    for event in [*_fills(legs), *(_ahead(legs) if ahead else ())]:
        sign = 1 if event.leg.side is side else -1
        ratio = ratio_on(event.at.date())
        if event.leg.ours:
            own += sign * event.shares
        else:
            others += sign * event.shares / ratio
            net_of_others += sign * event.shares / ratio
        # our own exit may cross with a sale of theirs: what they took stays taken, and we have sold too much
        now = min(max(-others, Fraction(0)), max(Fraction(own), taken))
        if now > taken and event.leg.ours:
            others += now - taken  # what they hold against us while we enter takes nothing of what we had
            now = taken
        # nothing is given back that the account does not hold, e.g. when the broker closes what others are short
        now = max(now, min(taken, own - max(own + net_of_others, Fraction(0))))
        if now > taken:
            lots.append(_Lot(str(event.leg.order_id), now - taken, ratio, event.price))
        _give_back(lots, taken - now)
        taken = now
    return _summed(taken, lots, legs)


def _fills(legs: Iterable[Leg]) -> list[_Event]:
    events = [_Event(f.filled_at, f.trade_id, leg, f.quantity, f.price) for leg in legs for f in leg.fills]
    return sorted(events, key=lambda event: (event.at, event.number))


def _ahead(legs: Iterable[Leg]) -> list[_Event]:
    """What only the order book tells, in the order in which it was sent."""
    events = [_Event(leg.changed_at, "", leg, leg.ahead, Decimal(0)) for leg in legs if leg.ahead]
    return sorted(events, key=lambda event: event.at)


def _give_back(lots: list[_Lot], shares: Fraction) -> None:
    """The last ones first."""
    while shares > 0 and lots:
        part = min(shares, lots[-1].shares)
        lots[-1].shares -= part
        shares -= part
        if not lots[-1].shares:
            lots.pop()


def _summed(taken: Fraction, lots: list[_Lot], legs: Iterable[Leg]) -> Taken:
    filled = {leg.order_id: leg.done for leg in legs if not leg.ours}
    value, by_order = Decimal(0), dict[str, Fraction]()
    for lot in lots:
        shares = lot.shares * lot.ratio  # as they were traded
        value += lot.price * shares.numerator / shares.denominator
        by_order[lot.order_id] = by_order.get(lot.order_id, Fraction(0)) + shares / filled[lot.order_id]
    return Taken(taken, value, by_order)


def shares_at(legs: Iterable[Leg], side: Side, before: int, until: datetime) -> tuple[int, int]:
    """Shares of the trade and of others up to a moment, both counted on the trade's side."""
    own, others = 0, max(before, 0)
    for event in _fills(legs):
        if event.at <= until:
            shares = event.shares if event.leg.side is side else -event.shares
            own, others = (own + shares, others) if event.leg.ours else (own, others + shares)
    return own, others
