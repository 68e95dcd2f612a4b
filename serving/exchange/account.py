"""The paper account: cash, positions, holdings and margins, exact to the paisa.

`cash` is a plain ledger: every fill's whole value is paid or received, every ended order's charges are taken. What may
still be spent (`margin_available`) gives back the value of intraday positions and blocks their margin instead.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, Decimal

from pipelines.domain.charges import Charges, order_charges
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import RMS_USER, Order, OrderRequest, Trade
from serving.exchange.market import PAISA
from serving.exchange.quotes import Quote

MIS_MARGIN = Decimal("0.20")  #: share of an intraday position's value that is blocked; CNC pays all


@dataclass(slots=True)
class Position:
    """One instrument and product over one day."""

    instrument: Instrument
    product: Product
    buy_quantity: int = 0
    buy_value: Decimal = Decimal(0)
    sell_quantity: int = 0
    sell_value: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)  #: of the open part

    @property
    def quantity(self) -> int:
        """Shares, below zero when short."""
        return self.buy_quantity - self.sell_quantity

    def take(self, side: Side, quantity: int, price: Decimal) -> None:
        before, change = self.quantity, side.sign * quantity
        after = before + change
        if before * change >= 0:
            self.average_price = (self.average_price * abs(before) + price * quantity) / abs(after)
        elif after == 0:
            self.average_price = Decimal(0)
        elif before * after < 0:
            self.average_price = price
        if side is Side.BUY:
            self.buy_quantity += quantity
            self.buy_value += price * quantity
        else:
            self.sell_quantity += quantity
            self.sell_value += price * quantity

    def unrealised(self, last_price: Decimal) -> Decimal:
        return (last_price - self.average_price) * self.quantity

    @property
    def realised(self) -> Decimal:
        return self.sell_value - self.buy_value + self.average_price * self.quantity


@dataclass(slots=True)
class Holding:
    """Delivered shares: bought on an earlier day."""

    instrument: Instrument
    average_price: Decimal
    settled: int = 0
    t1: int = 0  #: bought on the day before, settled at the end of this one

    @property
    def quantity(self) -> int:
        return self.settled + self.t1

    def add(self, quantity: int, price: Decimal) -> None:
        self.average_price = (self.average_price * self.quantity + price * quantity) / (self.quantity + quantity)
        self.t1 += quantity

    def remove(self, quantity: int) -> None:
        from_settled = min(quantity, self.settled)
        self.settled -= from_settled
        self.t1 -= quantity - from_settled


@dataclass
class Account:
    opening_cash: Decimal
    cash: Decimal = Decimal(0)
    day_opening_cash: Decimal = Decimal(0)
    charges: Charges = field(default_factory=Charges)  #: of all ended orders
    positions: dict[tuple[str, Product], Position] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    _delivered_today: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cash = self.day_opening_cash = self.opening_cash.quantize(PAISA)

    def fill(self, trade: Trade) -> None:
        request = trade.order.request
        self.cash -= request.side.sign * trade.price * trade.quantity
        self._position(request.instrument, request.product).take(request.side, trade.quantity, trade.price)

    def charge(self, order: Order, day: date) -> Charges:
        """Take the charges of an ended order, on its whole filled value; the DP charge once per scrip and day.

        It counts as a delivery sale when shares of an earlier day leave: more is sold than was bought today.
        """
        request = order.request
        position = self.positions.get((order.symbol, request.product))
        delivered = request.product is Product.CNC and position is not None and position.quantity < 0
        first = bool(order.filled_quantity and delivered and order.symbol not in self._delivered_today)
        taken = order_charges(
            product=request.product,
            side=request.side,
            value=order.filled_value,
            day=day,
            first_delivery_sale=first and request.side is Side.SELL,
            squared_off=order.placed_by == RMS_USER,
        )
        if taken.dp:
            self._delivered_today.add(order.symbol)
        self.charges = self.charges + taken
        self.cash -= taken.total
        return taken

    def settle_day(self) -> None:
        """After the close: shares of yesterday settle, what was bought today is held from tomorrow, the day ends."""
        for holding in self.holdings.values():
            holding.settled, holding.t1 = holding.quantity, 0
        for position in self.positions.values():
            if position.product is Product.CNC and position.quantity:
                self._deliver(position)
        self.holdings = {symbol: holding for symbol, holding in self.holdings.items() if holding.quantity}
        self.positions.clear()
        self._delivered_today.clear()
        self.day_opening_cash = self.cash

    def sellable(self, symbol: str, working: Iterable[Order]) -> int:
        """Delivery shares that no working order sells yet."""
        held = self.holdings[symbol].quantity if symbol in self.holdings else 0
        position = self.positions.get((symbol, Product.CNC))
        pending = sum(
            order.pending_quantity
            for order in working
            if order.symbol == symbol and order.request.product is Product.CNC and order.request.side is Side.SELL
        )
        return held + (position.quantity if position else 0) - pending

    def net_quantity(self, symbol: str, product: Product) -> int:
        position = self.positions.get((symbol, product))
        return position.quantity if position else 0

    def margin_available(self, working: Iterable[Order], quotes: dict[str, Quote]) -> Decimal:
        """Rupees that new orders may block, after open positions, their losses and the working orders."""
        free = self.cash
        for position in self._intraday():
            loss = min(position.unrealised(quotes[position.instrument.symbol].last_price), Decimal(0))
            free += position.average_price * position.quantity + loss
        return (free - self.blocked_by_positions() - self.blocked_by_orders(working, quotes)).quantize(PAISA)

    def blocked_by_positions(self) -> Decimal:
        costs = (abs(position.average_price * position.quantity) for position in self._intraday())
        return sum(costs, Decimal(0)) * MIS_MARGIN

    def blocked_by_orders(self, working: Iterable[Order], quotes: dict[str, Quote]) -> Decimal:
        """Margin of the working orders: CNC purchases in whole, intraday only where they enlarge a position."""
        pending: dict[tuple[str, Product], list[tuple[Side, int, Decimal]]] = {}
        for order in working:
            price = reference_price(order.request, quotes[order.symbol])
            terms = (order.request.side, order.pending_quantity, price)
            pending.setdefault((order.symbol, order.request.product), []).append(terms)
        return sum((self._blocked(key, orders) for key, orders in pending.items()), Decimal(0))

    def _blocked(self, key: tuple[str, Product], orders: list[tuple[Side, int, Decimal]]) -> Decimal:
        symbol, product = key
        if product is Product.CNC:
            return sum((quantity * price for side, quantity, price in orders if side is Side.BUY), Decimal(0))
        held = self.net_quantity(symbol, product)
        bought = sum(quantity for side, quantity, _ in orders if side is Side.BUY)
        sold = sum(quantity for side, quantity, _ in orders if side is Side.SELL)
        enlarged = max(abs(held + bought), abs(held - sold)) - abs(held)
        highest = max(price for _, _, price in orders)
        return (max(enlarged, 0) * highest * MIS_MARGIN).quantize(PAISA, ROUND_CEILING)

    def _intraday(self) -> list[Position]:
        return [position for position in self.positions.values() if position.product is Product.MIS]

    def realised_today(self) -> Decimal:
        return sum((position.realised for position in self._intraday()), Decimal(0))

    def unrealised(self, quotes: dict[str, Quote]) -> Decimal:
        open_ = (position.unrealised(quotes[position.instrument.symbol].last_price) for position in self._intraday())
        return sum(open_, Decimal(0))

    def _position(self, instrument: Instrument, product: Product) -> Position:
        return self.positions.setdefault((instrument.symbol, product), Position(instrument, product))

    def _deliver(self, position: Position) -> None:
        symbol = position.instrument.symbol
        if position.quantity > 0:
            holding = self.holdings.setdefault(symbol, Holding(position.instrument, Decimal(0)))
            holding.add(position.quantity, position.average_price)
        else:
            self.holdings[symbol].remove(-position.quantity)


def reference_price(request: OrderRequest, quote: Quote) -> Decimal:
    """The price that an order's margin is reckoned at."""
    if request.order_type in (OrderType.LIMIT, OrderType.SL) and request.price is not None:
        return request.price
    if request.trigger_price is not None:
        return max(request.trigger_price, quote.last_price) if request.side is Side.BUY else quote.last_price
    return quote.last_price
