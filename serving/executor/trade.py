"""The heart: one trade from its entry to its outcome; what is done next about it stands in `next_steps.py`. Pure.

A trade is an entry order and the orders that take it back: first the protective stop, which is turned into the exit.
What is done next follows from what the broker's book shows, never from what we hoped for, so that a restart needs
nothing but the books.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import prod

from pipelines.domain.orders import OrderType, Product, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.positions import PRICE_PLACES, Position
from pipelines.domain.signals import Decision, Side
from serving.executor.legs import MOST_RESIZES, Leg
from serving.executor.others import Taken, taken_by_others
from serving.executor.share_counts import ShareStep

__all__ = ["MOST_RESIZES", "Trade"]


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
    others_before: int = 0  #: shares of the instrument that others held on its side when it began

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
    def stop(self) -> Decimal:
        """Trigger of the protective order."""
        stop = self.position.stop if self.position is not None else self.decision.stop
        assert stop is not None, "an entry without a stop is not sent"
        return stop

    def passed_stop(self, price: Decimal) -> bool:
        """Whether a stop would be refused by the broker, since the price is there already."""
        if self.position is not None:
            return self.position.passed_stop(price)
        return (self.stop - price) * self.side.sign >= 0

    @property
    def average_entry(self) -> Decimal:
        filled = sum(leg.filled for leg in self.entries)
        if not filled:
            return self.decision.reference_price
        return (sum((leg.value for leg in self.entries), Decimal(0)) / filled).quantize(PRICE_PLACES)

    @property
    def held(self) -> int:
        """Shares that are open; below zero when our own orders took back more than was held.

        By the book that knows more: of what the trade book does not tell yet exits count, so that nothing is taken
        back twice, and entries, so that no share is bare. What no book tells of an entry counts by the positions.
        Others take back no more than we hold.
        After a split or bonus all are told in shares of the entry.
        """
        return self._counted_of_ours - self._taken_ahead

    @property
    def held_by_fills(self) -> int:
        """Shares that are open by the trade book alone, as the account's cash has it."""
        return self._by_our_orders - self.taken_by_fills

    @property
    def _counted_of_ours(self) -> int:
        return sum(self._counted(leg) * self._sign(leg) for leg in self.legs if leg.ours)

    @property
    def _taken_ahead(self) -> int:
        """What others took back, what only the order book tells of them included."""
        return self._of_own(self.taken(ahead=True).shares, self._counted_of_ours)

    def _counted(self, leg: Leg) -> int:
        return leg.filled + max(leg.presumed, leg.ahead) if leg in self.entries else leg.done

    def _sign(self, leg: Leg) -> int:
        return 1 if leg.side is self.side else -1

    @property
    def _by_our_orders(self) -> int:
        return sum(leg.filled * self._sign(leg) for leg in self.legs if leg.ours)

    def taken(self, *, ahead: bool = False) -> Taken:
        """What orders that are not ours hold taken back of it."""
        return taken_by_others(self.legs, self.side, self.others_before, self._shares_for_one, ahead=ahead)

    @property
    def taken_by_fills(self) -> int:
        """The same in whole shares of the entry, by the trade book alone."""
        return self._of_own(self.taken().shares, self._by_our_orders)

    def _shares_for_one(self, day: date) -> Fraction:
        """Shares on a day for one of the entry."""
        return prod((ratio for ex_date, ratio in self.steps if ex_date <= day), start=Fraction(1))

    def _of_own(self, taken: Fraction, own: int) -> int:
        """What of it took back our own shares; of a split's rest that is less than one share the holder gets cash."""
        if not taken:
            return 0
        rest = (own - taken) * self._shares_for_one(date.max)
        return own if 0 <= rest < 1 else int(taken)

    @property
    def ways_out(self) -> tuple[Leg, ...]:
        """Our orders that take the position back, ended ones included; not those that close a surplus."""
        return tuple(
            leg
            for leg in self.exits
            if leg.ours and leg.side is not self.side and leg.purpose is not Purpose.CORRECTION
        )

    @property
    def resting(self) -> Leg | None:
        """The order at the broker that takes the position back.

        Not ours is only one that trades at once, as the broker's square-off does; a person's limit protects nothing.
        """
        working = [leg for leg in self.ways_out if leg.works]
        if working:
            return working[-1]
        others = [leg for leg in self.against if leg.works and leg.order_type is OrderType.MARKET]
        return others[0] if others else None

    @property
    def against(self) -> tuple[Leg, ...]:
        """Orders that are not ours and trade the other way."""
        return tuple(leg for leg in self.exits if not leg.ours and leg.side is not self.side)

    @property
    def uncovered(self) -> int:
        """Shares held that no order at the broker takes back."""
        resting = self.resting
        covered = resting.quantity - resting.done if resting is not None else 0
        return max(self.held - covered - self.closing, 0)

    @property
    def surplus(self) -> int:
        """Shares held beyond what is left to hold, since an order was taken more than once or came too late.

        What brought them and which corrections were made before does not matter: so it holds as well where those were
        taken more than once themselves.
        """
        gone = sum(leg.done for leg in self.ways_out) + self._taken_ahead
        return max(self.held - max(self.asked - gone, 0), 0)

    @property
    def asked(self) -> int:
        """Shares that the entries asked for; an order that is a second one of its intent asked for nothing."""
        by_intent: dict[str | None, int] = {}
        for leg in self.entries:
            if not leg.doubled:
                by_intent[leg.intent_id] = max(by_intent.get(leg.intent_id, 0), leg.quantity)
        return sum(by_intent.values())

    @property
    def closing(self) -> int:
        """Shares of the surplus that an order at the broker takes back."""
        return sum(leg.quantity - leg.done for leg in self.surplus_orders if leg.works)

    @property
    def entry_is_full(self) -> bool:
        """Whether the entry's orders have together what was asked for."""
        orders = [leg for leg in self.legs if leg.intent_id == self.entry.intent_id]
        return len(orders) > 1 and sum(leg.done for leg in orders) >= self.entry.quantity

    @property
    def spare(self) -> Leg | None:
        """One of our orders that would take back what is not held, or what another of them takes back already.

        A second entry is one too many in any case.
        """
        late = [leg for leg in self.exits if leg.waits and leg.ours and leg.purpose is Purpose.ENTRY]
        waiting = [leg for leg in self.ways_out if leg.waits and leg.purpose is not Purpose.ENTRY]
        waiting.sort(key=lambda leg: not leg.doubled)  # of two orders of one tag the second is taken back
        needed = 1 if self.held > 0 else 0
        extra = waiting[: len(waiting) - needed]
        back = [leg for leg in self.buy_backs if leg.waits]
        closing = [leg for leg in self.surplus_orders if leg.waits]
        corrections = [*back[: len(back) - (self.held < 0)], *closing[: len(closing) - (self.surplus > 0)]]
        return next(iter([*late, *extra, *corrections]), None)

    @property
    def buy_backs(self) -> tuple[Leg, ...]:
        """Our orders that take back what was taken back too much."""
        return tuple(leg for leg in self.exits if leg.purpose is Purpose.CORRECTION and leg.side is self.side)

    @property
    def surplus_orders(self) -> tuple[Leg, ...]:
        """Our orders that take back what the entry has too much."""
        return tuple(leg for leg in self.exits if leg.purpose is Purpose.CORRECTION and leg.side is not self.side)

    @property
    def tries(self) -> int:
        """How often it was tried to leave."""
        return sum(leg.tries + leg.refused for leg in self.ways_out)

    @property
    def over(self) -> bool:
        """Whether nothing is open and nothing can come any more: no fill, no order without an answer.

        An order that is not ours and took nothing back, e.g. a person's limit, is none of our business then.
        """
        counted = [*(leg for leg in self.legs if leg.ours), *(leg for leg in self.against if leg.done)]
        return self.held == 0 and not any(leg.works or leg.unresolved or leg.ahead for leg in counted)

    @property
    def gross_inr(self) -> Decimal:
        """Rupees got less rupees paid by all fills so far."""
        own = sum((-leg.side.sign * leg.value for leg in self.legs if leg.ours), Decimal(0))
        return own + self.side.sign * self.value_by_others

    @property
    def value_by_others(self) -> Decimal:
        """Rupees of the shares that orders which are not ours took back for us."""
        return self.taken().value

    @property
    def taken_back(self) -> tuple[int, Decimal]:
        """Shares that exits took back, and their rupees."""
        own = [*self.ways_out, *self.surplus_orders]
        shares = sum(leg.filled for leg in own) + self.taken_by_fills
        return shares, sum((leg.value for leg in own), Decimal(0)) + self.value_by_others

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
