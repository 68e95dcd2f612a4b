"""What the account can carry: the broker's question before it sends an order on."""

from dataclasses import dataclass, replace

from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from serving.exchange.account import Account
from serving.exchange.book import Order, OrderBook, OrderRequest, Status, Variety
from serving.exchange.course import Course
from serving.exchange.quotes import QuoteBoard
from serving.exchange.refusals import holding_error


@dataclass(frozen=True)
class Funds:
    account: Account
    book: OrderBook
    board: QuoteBoard
    course: Course

    def check_holdings(self, request: OrderRequest, replacing: Order | None = None) -> None:
        """Delivery shares that are sold must be held.

        Raises
        ------
        KiteError : HoldingException, if they are not or another order sells them already.
        """
        missing = self.missing_shares(request, replacing)
        if missing:
            raise holding_error(missing)

    def missing_shares(self, request: OrderRequest, replacing: Order | None = None) -> str | None:
        """The broker's sentence if a delivery sale is of more than is held and no other order sells."""
        if request.product is not Product.CNC or request.side is not Side.SELL:
            return None
        symbol = request.instrument.symbol
        free = self.account.sellable(symbol, self._others(replacing))
        if free >= request.quantity - (replacing.filled_quantity if replacing else 0):
            return None
        return f"Insufficient holdings: {free} of {symbol} can be sold, short only with MIS."

    def reduces_intraday(self, request: OrderRequest, replacing: Order | None = None) -> bool:
        """Whether an intraday order only takes back what is open and no other order does, the broker's own too."""
        if request.variety in (Variety.CO, Variety.ICEBERG):  # others follow it
            return False
        symbol = request.instrument.symbol
        held = self.account.net_quantity(symbol, Product.MIS)
        left = request.quantity - (replacing.filled_quantity if replacing else 0)
        closing = sum(
            order.pending_quantity
            for order in self._others(replacing)
            if (order.symbol, order.request.product, order.request.side) == (symbol, Product.MIS, request.side)
        )
        return held * request.side.sign < 0 and left + closing <= abs(held)

    def missing_margin(self, request: OrderRequest, replacing: Order | None = None) -> str | None:
        """The broker's sentence if the account cannot carry the order beside all others."""
        others, quotes, at = self._others(replacing), self.board.quotes, self.course.clock
        probe = Order("", request, Status.OPEN, at, at, self.course.session.day, "")
        if replacing:
            probe = replace(probe, filled_quantity=replacing.filled_quantity)
        before = self.account.blocked_by_orders(others, quotes)
        required = self.account.blocked_by_orders([*others, probe], quotes) - before
        available = self.account.margin_available(others, quotes)
        if required <= 0 or required <= available:
            return None
        return (
            f"Insufficient funds. Required margin is {required:.2f} but available margin is {available:.2f}. "
            "Check the orderbook for open orders."
        )

    def _others(self, replacing: Order | None) -> list[Order]:
        return [order for order in self.book.committed() if replacing is None or order.order_id != replacing.order_id]
