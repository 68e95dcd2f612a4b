"""Delivery over the night: which actions are announced, and which open trades an ex-date has overtaken all the same.

A trade is overtaken if a split, bonus, rights issue or demerger that was learnt too late, or could not be left in time,
takes effect over it; or if in the morning the broker holds another number of its shares than our fills leave, as after
an action that nobody told us of. Its stop, its target and its shares are those of before then. So nothing is sent for
it, neither stop nor exit, until a person has looked after it: between no order and a wrong order choose none.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from pipelines.domain.errors import JournalAway, TradeSageError
from pipelines.domain.ex_dates import ExDates
from pipelines.domain.orders import Fill, Product
from pipelines.ingest.newest_actions import KnownActions
from serving.executor.desk import LOG, Desk
from serving.executor.share_counts import added_shares, steps_of
from serving.executor.trade import Trade


class Overnight:
    """Keeps the desk's ex-dates and overtaken trades.

    Parameters
    ----------
    desk : of the session
    """

    def __init__(self, desk: Desk):
        self._desk = desk
        self._read_on: date | None = None
        self._counted = True  # whether shares that were added are those of today

    def read(self) -> None:
        """What is announced by now.

        If not all of it can be read, what was known yesterday stays. At a start there is only what the run knew: then
        nothing for delivery is entered, and what is held goes on to be protected.
        """
        desk = self._desk
        began, self._read_on = self._read_on is None, desk.now.date()
        if desk.terms.product is not Product.CNC:
            return
        try:
            known = desk.terms.actions(desk.now)
        except TradeSageError as error:  # the run's own table; what is held is protected all the same
            known = KnownActions(lacking=str(error))
        if began or not known.lacking:
            desk.ex_dates, desk.actions_lacking = ExDates(known.table), known.lacking
        if known.lacking:
            what = "no delivery is entered" if desk.actions_lacking else "those known yesterday stay"
            desk.alarm(f"corporate actions cannot be read, {what}: {known.lacking}")

    def look(self) -> None:
        """See what it has made of our shares, and which open trades it has overtaken."""
        desk, today = self._desk, self._desk.now.date()
        for symbol, why in desk.terms.out_of_reach.items():
            if symbol in desk.trades and symbol not in desk.overtaken:
                self._tell(desk.trades[symbol], why)
        self._count()
        for symbol, trade in list(desk.trades.items()):
            if trade.position is not None and symbol in desk.ex_dates:
                steps = steps_of(desk.ex_dates.of(symbol), trade.position.entered_at.date(), today)
                desk.trades[symbol] = replace(trade, steps=steps)
        for symbol, trade in self.held_over.items():
            action = self._action_over(trade)
            if action is not None and symbol not in desk.overtaken:
                self._tell(trade, action)

    def _count(self) -> None:
        """What splits and bonuses added; while the journal does not answer it stays as it was, and shares that differ
        by it are told of and not sent for.
        """
        try:
            self._desk.added_shares, self._counted = self._added_shares(), True
        except JournalAway as error:
            self._counted = False
            self._desk.alarm(
                f"shares that splits and bonuses added cannot be counted: {error}", lambda: not self._counted
            )

    def count_again(self) -> None:
        """The journal is back: count what could not be."""
        if not self._counted:
            self._count()

    def turn_day(self) -> None:
        """A day begins: the same anew."""
        if self._read_on != self._desk.now.date():
            self.read()
            self.look()

    def compare(self, held_otherwise: Mapping[str, str]) -> None:
        """In the morning, before anything is sent: what the broker holds in another number was overtaken, too.

        Parameters
        ----------
        held_otherwise : by symbol how the two differ
        """
        for symbol, trade in self.held_over.items():
            if symbol in held_otherwise and symbol not in self._desk.overtaken:
                self._tell(trade, held_otherwise[symbol])

    def release(self, unequal: Mapping[str, str]) -> None:
        """After a later comparison: where shares are equal again, and no action is known, the trade goes on."""
        for symbol in list(self._desk.overtaken):
            if symbol in self._desk.terms.out_of_reach:
                continue
            trade = self.held_over.get(symbol)
            if trade is None or (symbol not in unequal and self._action_over(trade) is None):
                del self._desk.overtaken[symbol]
                LOG.warning("no longer overtaken", symbol=symbol)

    @property
    def held_over(self) -> dict[str, Trade]:
        """Open delivery trades that were entered before today, by symbol."""
        desk = self._desk
        return {
            symbol: trade
            for symbol, trade in desk.trades.items()
            if trade.product is Product.CNC
            and trade.position is not None
            and trade.held
            and trade.position.entered_at.date() < desk.now.date()
        }

    def _added_shares(self) -> dict[str, int]:
        """By symbol, of what our fills left before splits and bonuses; shares of before the account's opening are not
        counted, as nobody knows what they went through.
        """
        desk, today = self._desk, self._desk.now.date()
        steps = {symbol: steps_of(desk.ex_dates.of(symbol), date.min, today) for symbol in desk.terms.instruments}
        if not any(steps.values()):
            return {}
        delivered = {order.order_id for order in desk.journal.orders(desk.account) if order.product is Product.CNC}
        fills: dict[str, list[Fill]] = {}
        for fill in desk.journal.fills(desk.account):
            if fill.order_id in delivered:
                fills.setdefault(fill.symbol, []).append(fill)
        added = {symbol: added_shares(own, steps.get(symbol, ())) for symbol, own in fills.items()}
        return {symbol: more for symbol, more in added.items() if more}

    def _action_over(self, trade: Trade) -> str | None:
        desk = self._desk
        assert trade.position is not None
        entered = trade.position.entered_at.date()
        found = desk.ex_dates.between(trade.symbol, entered, desk.now.date(), desk.now)
        return None if found is None else f"{found}, entered on {entered}"

    def _tell(self, trade: Trade, why: str) -> None:
        self._desk.overtaken[trade.symbol] = why
        self._desk.alarm(
            f"{trade.symbol}: nothing is sent for {trade.held} shares, they have no stop: {why}; "
            "look after them at the broker by hand"
        )
