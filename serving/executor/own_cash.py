"""Cash of our own book: what the account began with, and what our trades have made of it.

Risk is measured on it: what others buy, sell or hold in the account, a deposit or a withdrawal is no gain or loss of
ours. What may still be bought is the account's, and is asked of the broker.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

from serving.executor.desk import Desk

if TYPE_CHECKING:
    from serving.executor.books import Books


class OwnCash:
    """Keeps the sum of our outcomes.

    Parameters
    ----------
    desk, books : of the session
    """

    def __init__(self, desk: Desk, books: "Books"):
        self._desk, self._books = desk, books
        self._settled = Decimal(0)  # rupees: the opening, and what ended trades came to
        self._closed: dict[str, Decimal] = {}  # of those what may be opened again, by trade

    def take_up(self, opening: Decimal) -> None:
        """After a start: the opening cash and the outcomes that the journal has."""
        outcomes = self._desk.journal.outcomes(self._desk.account)
        open_ = {trade.trade_id for trade in self._desk.trades.values()}
        self._closed = {str(o.decision_id): o.net_inr for o in outcomes if o.decision_id not in open_}
        self._settled = opening + sum(self._closed.values(), Decimal(0))

    def close(self, trade_id: str, net_inr: Decimal) -> None:
        self._closed[trade_id] = net_inr
        self._settled += net_inr

    def open_again(self, trade_id: str) -> None:
        """A trade that was over goes on: what it came to is not settled."""
        self._settled -= self._closed.pop(trade_id, Decimal(0))

    @property
    def cash(self) -> Decimal:
        """Rupees, exact: charges of orders that have ended are taken, as the account's cash has it."""
        trades = self._desk.trades.values()
        return self._settled + sum((t.gross_inr - self._books.charges_of(t).total for t in trades), Decimal(0))
