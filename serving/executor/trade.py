"""The heart: one trade from its entry to its outcome, and what has to be done next about it. Pure.

A trade is an entry order and the orders that take it back: first the protective stop, which is turned into the exit.
What is done next follows from what the broker's book shows, never from what we hoped for, so that a restart needs
nothing but the books.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import prod

from pipelines.domain.exits import ExitSchedule
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType, Product, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.positions import PRICE_PLACES, Position
from pipelines.domain.signals import Decision, Side
from serving.executor.legs import MOST_RESIZES, Leg
from serving.executor.share_counts import ShareStep

RETRY_AFTER = timedelta(seconds=1)  #: market time before a refused exit is tried again
AT_ANY_PRICE = frozenset({ExitReason.STOP, ExitReason.EMERGENCY})  #: no limit is tried first


@dataclass(frozen=True, slots=True)
class Trade:
    """What one decision led to."""

    trade_id: str  #: of the decision
    decision: Decision
    product: Product
    entry: Leg
    exits: tuple[Leg, ...] = ()  #: all other orders of the trade, also late entries and corrections
    position: Position | None = None  #: None until the first fill
    features_hash: str = ""
    steps: tuple[ShareStep, ...] = ()  #: in the count of its shares, by splits and bonuses that have overtaken it

    @property
    def symbol(self) -> str:
        return self.decision.symbol

    @property
    def side(self) -> Side:
        return self.entry.side

    @property
    def legs(self) -> tuple[Leg, ...]:
        return (self.entry, *self.exits)

    @property
    def entries(self) -> tuple[Leg, ...]:
        """The entry, and any other that arrived when nobody counted on it any more."""
        return tuple(leg for leg in self.legs if leg.purpose is Purpose.ENTRY and leg.side is self.side)

    @property
    def average_entry(self) -> Decimal:
        filled = sum(leg.filled for leg in self.entries)
        if not filled:
            return self.decision.reference_price
        return (sum((leg.value for leg in self.entries), Decimal(0)) / filled).quantize(PRICE_PLACES)

    @property
    def held(self) -> int:
        """Shares that are open; below zero when our own orders took back more than was held.

        An order that is not ours takes back no more than we hold: what it trades beyond that is not ours either. Of
        what the trade book does not tell yet, exits count, so that nothing is taken back twice; entries have no price.
        After a split or bonus all are told in shares of the entry.
        """
        own = sum((leg.filled if leg in self.entries else leg.done) * self._sign(leg) for leg in self.legs if leg.ours)
        return own - self._of_own(self._by_all_others(lambda leg: leg.done), own)

    @property
    def held_by_fills(self) -> int:
        """Shares that are open by the trade book alone, as the account's cash has it."""
        return self._by_our_orders - self._by_others

    def _sign(self, leg: Leg) -> int:
        return 1 if leg.side is self.side else -1

    @property
    def _by_our_orders(self) -> int:
        return sum(leg.filled * self._sign(leg) for leg in self.legs if leg.ours)

    @property
    def _by_others(self) -> int:
        return self._of_own(self._by_all_others(lambda leg: leg.filled), self._by_our_orders)

    def _by_all_others(self, shares_of: Callable[[Leg], int]) -> Fraction:
        """What orders that are not ours traded against us, in shares of the entry."""
        others = (leg for leg in self.exits if not leg.ours)
        return sum((shares_of(leg) / self._shares_for_one(leg.changed_at.date()) for leg in others), Fraction(0))

    def _shares_for_one(self, day: date) -> Fraction:
        """Shares on a day for one of the entry."""
        return prod((ratio for ex_date, ratio in self.steps if ex_date <= day), start=Fraction(1))

    def _of_own(self, taken: Fraction, own: int) -> int:
        """What of it took back our own shares; of a split's rest that is less than one share the holder gets cash."""
        if own <= 0 or not taken:
            return 0
        rest = (own - taken) * self._shares_for_one(date.max)
        return own if rest < 1 else int(taken)

    @property
    def ways_out(self) -> tuple[Leg, ...]:
        """Our orders that take the position back, ended ones included."""
        return tuple(leg for leg in self.exits if leg.ours and leg.side is not self.side)

    @property
    def resting(self) -> Leg | None:
        """The order at the broker that takes the position back.

        Not ours is only one that trades at once, as the broker's square-off does; a person's limit protects nothing.
        """
        working = [leg for leg in self.ways_out if leg.works]
        if working:
            return working[-1]
        others = [leg for leg in self.exits if not leg.ours and leg.works and leg.order_type is OrderType.MARKET]
        return others[0] if others else None

    @property
    def uncovered(self) -> int:
        """Shares held that no order at the broker takes back."""
        resting = self.resting
        return max(self.held - (resting.quantity - resting.done if resting is not None else 0), 0)

    @property
    def spare(self) -> Leg | None:
        """One of our orders that would take back what is not held, or what another of them takes back already.

        A second entry is one too many in any case.
        """
        late = [leg for leg in self.exits if leg.waits and leg.ours and leg.purpose is Purpose.ENTRY]
        waiting = [leg for leg in self.ways_out if leg.waits and leg.purpose is not Purpose.ENTRY]
        needed = 1 if self.held > 0 else 0
        extra = waiting[: len(waiting) - needed]
        corrections = [leg for leg in self.corrections if leg.waits and self.held >= 0]
        return next(iter([*late, *extra, *corrections]), None)

    @property
    def corrections(self) -> tuple[Leg, ...]:
        return tuple(leg for leg in self.exits if leg.purpose is Purpose.CORRECTION)

    @property
    def tries(self) -> int:
        """How often it was tried to leave."""
        return sum(leg.tries + leg.refused for leg in self.ways_out)

    @property
    def over(self) -> bool:
        """Whether nothing is open and nothing can come any more: no fill, no order without an answer.

        An order that is not ours and took nothing back, e.g. a person's limit, is none of our business then.
        """
        counted = [leg for leg in self.legs if leg.ours or leg.done]
        return self.held == 0 and not any(leg.works or leg.unresolved or leg.ahead for leg in counted)

    @property
    def gross_inr(self) -> Decimal:
        """Rupees got less rupees paid by all fills so far."""
        own = sum((-leg.side.sign * leg.value for leg in self.legs if leg.ours), Decimal(0))
        return own + self.side.sign * self.value_by_others

    @property
    def value_by_others(self) -> Decimal:
        """Rupees of the shares that orders which are not ours took back for us."""
        value = sum((leg.value for leg in self.exits if not leg.ours), Decimal(0))
        taken = self._by_all_others(lambda leg: leg.filled)
        if taken <= self._by_others:
            return value
        return value * self._by_others * taken.denominator / taken.numerator

    @property
    def taken_back(self) -> tuple[int, Decimal]:
        """Shares that exits took back, and their rupees."""
        shares = sum(leg.filled for leg in self.ways_out) + self._by_others
        return shares, sum((leg.value for leg in self.ways_out), Decimal(0)) + self.value_by_others

    def marked(self, price: Decimal) -> "Trade":
        """The trade after a trade in the market: its best and worst gain, what was taken back already included."""
        if self.position is None or self.held_by_fills <= 0:
            return self
        gain = self.gross_inr + self.side.sign * self.held_by_fills * price
        marked = self.position.with_gain(gain)
        return self if marked is self.position else replace(self, position=marked)

    def with_leg(self, changed: Leg) -> "Trade":
        """The trade with one leg in its newer state."""
        if changed.is_same(self.entry):
            return replace(self, entry=changed)
        same = [leg.is_same(changed) for leg in self.exits]
        exits = tuple(changed if found else leg for leg, found in zip(self.exits, same, strict=True))
        return replace(self, exits=exits if any(same) else (*self.exits, changed))

    def with_position(self) -> "Trade":
        """The trade with its position brought up to what the entry's fills say."""
        filled = sum(leg.filled for leg in self.entries)
        if not filled:
            return self
        price = self.average_entry
        if self.position is not None:
            if (self.position.quantity, self.position.entry_price) == (filled, price):
                return self
            return replace(self, position=replace(self.position, quantity=filled, entry_price=price))
        decision = self.decision
        assert decision.stop is not None
        opened = Position(
            position_id=self.trade_id,
            symbol=self.symbol,
            side=self.side,
            quantity=filled,
            product=self.product,
            entry_price=price,
            entered_at=min(leg.first_fill_at for leg in self.entries if leg.first_fill_at is not None),
            stop=decision.stop,
            target=decision.target,
            hold_bars=decision.hold_bars,
        )
        return replace(self, position=opened)

    def leaving_for(self, reason: ExitReason, price: Decimal | None) -> "Trade":
        """The trade with the reason for which it is left; the first one stands, with the price of that moment."""
        position = self.position
        if position is None or position.exit_reason is not None:
            return self
        decided_at = position.stop if reason is ExitReason.STOP else price
        return replace(self, position=replace(position, exit_reason=reason, exit_decision_price=decided_at))


class Do(StrEnum):
    """What can be done about a trade."""

    PLACE_STOP = "place stop"
    PLACE_EXIT = "place exit"
    PLACE_CORRECTION = "buy back what was taken back too much"
    RESIZE_STOP = "resize stop"
    TURN_STOP = "turn the stop into the exit"
    CHASE_CORRECTION = "chase with the correction"
    CANCEL_ENTRY = "cancel the entry's rest"
    CANCEL_STOP = "cancel the stop, which cannot be changed"
    CANCEL_SPARE = "cancel an order that is one too many"

    @property
    def cancels(self) -> bool:
        return self in (Do.CANCEL_ENTRY, Do.CANCEL_STOP, Do.CANCEL_SPARE)


@dataclass(frozen=True, slots=True)
class Step:
    do: Do
    leg: Leg | None = None  #: the order that is changed
    quantity: int = 0  #: of the order as a whole, filled part included
    reason: ExitReason | None = None
    limit_price: Decimal | None = None  #: of an exit; None: a protected market order


@dataclass(frozen=True, slots=True)
class Moment:
    """What the market and the clock say, and how exits are tried."""

    now: datetime
    open: bool  #: whether orders are taken
    price: Decimal | None  #: of the last trade in this session
    bar_closed: bool  #: whether a bar has just closed: an entry that still works then has had its time
    schedule: ExitSchedule
    instrument: Instrument
    leave: ExitReason | None = None  #: everything has to be closed, e.g. before the session's end
    halted: bool = False  #: no entries: one that still works is taken back
    close: datetime | None = None  #: end of continuous trading
    insisting: bool = False  #: whether what just failed is tried again at the same moment


def reason_to_leave(trade: Trade, moment: Moment) -> ExitReason | None:
    """Why the position should be left, the first reason found standing for good; None to stay."""
    position = trade.position
    if position is None or trade.held <= 0:
        return None
    if position.exit_reason is not None:
        return position.exit_reason
    if trade.resting is not None and trade.resting.triggered:
        return ExitReason.STOP  # the stop is on its way, and may rest at its band
    if moment.leave is not None:
        return moment.leave
    if moment.price is not None and position.reached_target(moment.price):
        return ExitReason.TARGET
    return ExitReason.TIME if position.expired() else None


def next_step(trade: Trade, moment: Moment) -> Step | None:
    """What has to be done now; None if nothing. Ask again after it was done and the books were read.

    First the entry: what is left of it is taken back when a bar closes over it, when the position is being left, when
    trading is halted, or when the stop cannot follow it any more. Then the protection: there is always one order at
    the broker for exactly the shares held, a stop while we stay and one that chases the price when we leave. What was
    taken back beyond what was held is bought back.
    """
    if not moment.open:
        return None
    reason = reason_to_leave(trade, moment)
    entry_has_had_its_time = reason or moment.leave or moment.halted or moment.bar_closed
    if trade.entry.works and (entry_has_had_its_time or trade.held < 0 or _stop_is_used(trade)):
        return Step(Do.CANCEL_ENTRY, trade.entry)
    spare = trade.spare
    if spare is not None and (trade.held != 0 or not trade.entry.works):
        return Step(Do.CANCEL_SPARE, spare)
    if trade.held < 0:
        return _correct(trade, moment)
    if trade.held == 0:
        return None
    resting = trade.resting
    if resting is None:
        return _protect(trade, moment, reason)
    if not resting.ours:
        return None  # never touched
    if reason is not None:
        return _leave(trade, resting, moment, reason)
    whole = resting.done + trade.held
    if resting.quantity == whole:
        return None
    if resting.given_up:
        return Step(Do.CANCEL_STOP, resting)  # a new one of the right size follows at once
    return Step(Do.RESIZE_STOP, resting, whole)


def _protect(trade: Trade, moment: Moment, reason: ExitReason | None) -> Step | None:
    """No order takes the position back: place one."""
    assert trade.position is not None
    if _failed(trade, Purpose.EXIT, moment):
        return None  # not again at the same moment
    if reason is None and moment.price is not None and trade.position.passed_stop(moment.price):
        reason = ExitReason.STOP  # a stop would be refused, the price is beyond it
    if reason is None and _is_over_for(trade, moment):
        return None
    if reason is None and _failed(trade, Purpose.STOP, replace(moment, insisting=False)):
        reason = ExitReason.EMERGENCY
    if reason is None:
        return Step(Do.PLACE_STOP, quantity=trade.held)
    return Step(Do.PLACE_EXIT, None, trade.held, reason, _limit(trade, moment, reason))


def _leave(trade: Trade, resting: Leg, moment: Moment, reason: ExitReason) -> Step | None:
    whole = resting.done + trade.held
    waited = moment.now - resting.since >= moment.schedule.patience(hurried=_hurried(moment, reason))
    if not (resting.is_stop or resting.quantity != whole or waited):
        return None
    if resting.given_up:
        return Step(Do.CANCEL_STOP, resting, reason=reason)
    return Step(Do.TURN_STOP, resting, whole, reason, _limit(trade, moment, reason))


def _correct(trade: Trade, moment: Moment) -> Step | None:
    """Our orders took back more than was held: the other way round at once, by an order of its own."""
    working = next((leg for leg in trade.corrections if leg.works), None)
    if working is not None:
        whole = working.done - trade.held
        waited = moment.now - working.changed_at >= moment.schedule.hurried_wait
        if working.given_up:
            return Step(Do.CANCEL_SPARE, working) if waited else None
        return Step(Do.CHASE_CORRECTION, working, whole) if waited or working.quantity != whole else None
    if trade.corrections and _just_failed(trade.corrections[-1], moment):
        return None
    return Step(Do.PLACE_CORRECTION, quantity=-trade.held)


def _limit(trade: Trade, moment: Moment, reason: ExitReason) -> Decimal | None:
    if reason in AT_ANY_PRICE:
        return None
    return moment.schedule.limit_price(
        trade.tries, trade.side.opposite, moment.price, moment.instrument, hurried=_hurried(moment, reason)
    )


def _hurried(moment: Moment, reason: ExitReason) -> bool:
    return moment.leave is not None or reason in AT_ANY_PRICE


def _just_failed(leg: Leg, moment: Moment) -> bool:
    return leg.turned_down and moment.now - leg.changed_at < RETRY_AFTER and not moment.insisting


def _failed(trade: Trade, purpose: Purpose, moment: Moment) -> bool:
    """Whether the broker has just refused an order of this purpose, or left two of them without an answer.

    After one without an answer a second is sent at once: shares in the hand are not left bare for it. Should both
    arrive, one of them is cancelled, and what they took back too much is bought back.
    """
    failed = [leg for leg in trade.ways_out if leg.purpose is purpose and _just_failed(leg, moment)]
    return len(failed) > 1 or any(not leg.unresolved for leg in failed)


def _is_over_for(trade: Trade, moment: Moment) -> bool:
    """Whether stops are refused since continuous trading has ended: no emergency, the next session takes one."""
    stops = (leg for leg in trade.ways_out if leg.purpose is Purpose.STOP and leg.turned_down)
    closed = moment.close
    return closed is not None and moment.now >= closed and any(leg.changed_at >= closed for leg in stops)


def _stop_is_used(trade: Trade) -> bool:
    return any(leg.done for leg in trade.ways_out) or any(leg.modifications >= MOST_RESIZES for leg in trade.ways_out)
