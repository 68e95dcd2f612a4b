"""The paper account: cash, positions, holdings and margins, exact to the paisa.

`cash` is a plain ledger: every fill's whole value is paid or received, every ended order's charges are taken; futures
pay gains and losses only, when they are closed and at each day's close. What may still be spent (`margin_available`)
gives back the value of intraday shares and blocks their margin instead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from pipelines.domain.affordability import Need
from pipelines.domain.charges import Charges, exercise_charges, order_charges
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from serving.exchange.book import RMS_USER, Order, Trade
from serving.exchange.margins import Leg, Margin, margin_of, reference_price, underlying_level
from serving.exchange.market import PAISA
from serving.exchange.positions import Holding, Position
from serving.exchange.quotes import Quote

__all__ = ["Account", "Holding", "Position"]
Quotes = Mapping[str, Quote]


@dataclass
class Account:
    opening_cash: Decimal
    day: date = date.max  #: the market's, which chooses the margins' rates
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
        position = self.position(request.instrument, request.product)
        self.cash += position.take(request.side, trade.quantity, trade.price)

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
            kind=request.instrument.kind,
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

    def give_back(self, taken: Charges) -> None:
        """Charges of an order that had not ended after all."""
        self.charges = self.charges - taken
        self.cash += taken.total

    def settle_day(self, quotes: Mapping[str, Quote], next_day: date) -> None:
        """After the close: yesterday's shares settle, today's are held from tomorrow, futures pay their day's gain."""
        for holding in self.holdings.values():
            holding.settled, holding.t1 = holding.quantity, 0
        self.settle_expired(quotes)
        for position in self.positions.values():
            if position.product is Product.CNC and position.quantity:
                self._deliver(position)
            elif position.settled_daily:
                self.cash += position.mark(quotes[position.instrument.symbol].last_price)
        self.holdings = {symbol: holding for symbol, holding in self.holdings.items() if holding.quantity}
        self.positions = {
            key: position
            for key, position in self.positions.items()
            if position.product is Product.NRML and position.quantity
        }
        for position in self.positions.values():
            position.carry_over()
        self._delivered_today.clear()
        self.day, self.day_opening_cash = next_day, self.cash

    def settle_expired(self, quotes: Mapping[str, Quote]) -> None:
        """Futures and options whose last day this is end at their underlying's last price, in cash."""
        for key, position in list(self.positions.items()):
            expiry = position.instrument.expiry
            if expiry is not None and expiry <= self.day and position.quantity:
                self._settle_at(position, underlying_level(position.instrument, quotes))
                del self.positions[key]

    def _settle_at(self, position: Position, level: Decimal) -> None:
        if position.settled_daily:
            self.cash += position.mark(level)
            return
        worth = position.instrument.intrinsic(level) * position.quantity
        self.cash += worth.quantize(PAISA)
        if worth > 0:
            taken = exercise_charges(worth, self.day)
            self.charges = self.charges + taken
            self.cash -= taken.total

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

    def margin_available(self, working: Iterable[Order], quotes: Mapping[str, Quote]) -> Decimal:
        """Rupees that new orders may block, after open positions, their losses and the working orders."""
        free = self.cash
        for position in self.positions.values():
            last = quotes[position.instrument.symbol].last_price
            if position.settled_daily:
                free += min(position.unsettled(last), Decimal(0))
            elif position.instrument.kind is Kind.OPTION:
                free += min(position.unrealised(last), Decimal(0)) if position.quantity < 0 else 0
            elif position.product is Product.MIS:
                free += position.average_price * position.quantity + min(position.unrealised(last), Decimal(0))
        blocked = self.blocked_by_positions(quotes).total + self.blocked_by_orders(working, quotes)
        return (free - blocked).quantize(PAISA)

    def blocked_by_positions(self, quotes: Mapping[str, Quote]) -> Margin:
        """Margin of open positions; what was bought for delivery or as an option is paid already."""
        return sum((margin_of(leg, quotes, self.day) for leg in self.legs() if _blocks(leg)), Margin())

    def legs(self) -> list[Leg]:
        """The open positions, each as one quantity at its average price."""
        return [
            Leg(
                position.instrument,
                position.product,
                Side.BUY if position.quantity > 0 else Side.SELL,
                abs(position.quantity),
                position.average_price,
            )
            for position in self.positions.values()
            if position.quantity
        ]

    def blocked_by_orders(self, working: Iterable[Order], quotes: Mapping[str, Quote]) -> Decimal:
        """Margin and charges of the working orders: purchases for delivery in whole, all others where they enlarge a
        position.
        """
        pending: dict[tuple[str, Product], list[tuple[Order, Leg]]] = {}
        for order in working:
            request = order.request
            price = reference_price(request, quotes[order.symbol], self.day)
            leg = Leg(request.instrument, request.product, request.side, order.pending_quantity, price)
            pending.setdefault((order.symbol, request.product), []).append((order, leg))
        blocked = Decimal(0)
        for key, orders in pending.items():
            margin = self._blocked(key, [leg for _, leg in orders], quotes)
            blocked += margin
            if margin:
                ahead = (self._charges_of(order, leg.price * leg.quantity) for order, leg in orders)
                blocked += sum(ahead, Decimal(0))
        return blocked

    def _charges_of(self, order: Order, still: Decimal) -> Decimal:
        """What an order will be charged when it ends, on what it has filled and `still` fills (rupees)."""
        request, day = order.request, min(self.day, order.day)
        value, kind = order.filled_value + still, request.instrument.kind
        return order_charges(product=request.product, kind=kind, side=request.side, value=value, day=day).total

    def paid_for(self, order: Order, quantity: int, price: Decimal, others: Iterable[Order], quotes: Quotes) -> int:
        """How many shares of a fill the account can pay: delivery and options are bought by what is there, charges
        included. What takes a short position back always fills.

        Parameters
        ----------
        others : working orders, whose fills are still to be charged
        """
        request = order.request
        option = request.instrument.kind is Kind.OPTION and self.net_quantity(order.symbol, request.product) >= 0
        if request.side is Side.SELL or not (option or request.product is Product.CNC):
            return quantity
        owed = sum((self._charges_of(other, Decimal(0)) for other in others if other.filled_quantity), Decimal(0))
        whole = Decimal(1)
        need = Need(request.instrument, request.product, Side.BUY, price, self.day, whole, order.filled_value)
        return need.most(quantity, self.margin_available((), quotes) - owed)

    def _blocked(self, key: tuple[str, Product], legs: list[Leg], quotes: Mapping[str, Quote]) -> Decimal:
        symbol, product = key
        if product is Product.CNC:
            return sum((margin_of(leg, quotes, self.day).total for leg in legs), Decimal(0))
        held = self.net_quantity(symbol, product)
        bought = sum(leg.quantity for leg in legs if leg.side is Side.BUY)
        sold = sum(leg.quantity for leg in legs if leg.side is Side.SELL)
        highest = max(leg.price for leg in legs)
        instrument = legs[0].instrument
        opened = {Side.BUY: max(bought + min(held, 0), 0), Side.SELL: max(sold - max(held, 0), 0)}
        if instrument.kind is Kind.OPTION:  # premium of what is bought, margin of what is sold short
            sides = [Leg(instrument, product, side, quantity, highest) for side, quantity in opened.items()]
            return sum((margin_of(leg, quotes, self.day).total for leg in sides), Decimal(0))
        enlarged = max(abs(held + bought), abs(held - sold)) - abs(held)
        return margin_of(Leg(instrument, product, Side.BUY, max(enlarged, 0), highest), quotes, self.day).total

    def realised_today(self) -> Decimal:
        return sum((position.realised for position in self._margined()), Decimal(0))

    def unrealised(self, quotes: Mapping[str, Quote]) -> Decimal:
        open_ = (position.unrealised(quotes[position.instrument.symbol].last_price) for position in self._margined())
        return sum(open_, Decimal(0))

    def _margined(self) -> list[Position]:
        return [position for position in self.positions.values() if position.product is not Product.CNC]

    def position(self, instrument: Instrument, product: Product) -> Position:
        return self.positions.setdefault((instrument.symbol, product), Position(instrument, product))

    def _deliver(self, position: Position) -> None:
        symbol = position.instrument.symbol
        if position.quantity > 0:
            holding = self.holdings.setdefault(symbol, Holding(position.instrument, Decimal(0)))
            holding.add(position.quantity, position.average_price)
        else:
            self.holdings[symbol].remove(-position.quantity)


def _blocks(leg: Leg) -> bool:
    """Whether an open position blocks anything beyond what was paid for it."""
    return leg.product is not Product.CNC and not (leg.instrument.kind is Kind.OPTION and leg.side is Side.BUY)
