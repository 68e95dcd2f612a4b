"""The broker's risk management ends the day's intraday trading: orders are cancelled, positions sent to the market."""

from dataclasses import dataclass, field

from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import SQUARE_OFF_TAG, OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import RMS_USER, OrderRequest, Validity
from serving.exchange.floor import Floor
from serving.exchange.positions import Position

CANCELLED = "Cancelled by RMS: intraday square-off."


@dataclass
class SquareOff:
    """Intraday positions end at their instrument's time; whoever is late pays the broker's fee for each order."""

    floor: Floor
    _done: set[str] = field(default_factory=set)  # symbols squared off today

    def start_day(self) -> None:
        self._done.clear()

    def over_for(self, instrument: Instrument) -> bool:
        """Whether the broker takes no more intraday risk in this instrument today."""
        course = self.floor.course
        return course.clock >= course.hours.square_off_at(instrument, course.session)

    def in_time(self) -> None:
        """End what is due by now. Working orders and open positions are few, so each is asked at every step."""
        for instrument in self._exposed():
            if self.over_for(instrument):
                self._end(instrument)

    def finish(self) -> None:
        """What no tick has reached by the close, the broker ends at the last price: nothing intraday stays."""
        self._fill_at_last_price()
        self._done.clear()
        for instrument in self._exposed():
            self._end(instrument)
        self._fill_at_last_price()

    def _fill_at_last_price(self) -> None:
        for order in self.floor.book.working():
            if order.placed_by == RMS_USER:
                last = self.floor.board.quotes[order.symbol].last_price
                self.floor.fill(order, order.pending_quantity, last)

    def _exposed(self) -> list[Instrument]:
        """Instruments with intraday orders or positions that the broker has not ended yet."""
        found = {
            order.symbol: order.request.instrument
            for order in self.floor.book.working()
            if order.request.product is Product.MIS and order.placed_by != RMS_USER
        }
        found |= {position.instrument.symbol: position.instrument for position in self._open_positions()}
        return [instrument for symbol, instrument in found.items() if symbol not in self._done]

    def _open_positions(self) -> list[Position]:
        return [
            position
            for position in self.floor.account.positions.values()
            if position.product is Product.MIS and position.quantity
        ]

    def _end(self, instrument: Instrument) -> None:
        floor, course = self.floor, self.floor.course
        self._done.add(instrument.symbol)
        floor.arrivals(all_of_them=True)
        for order in floor.book.working():
            if order.symbol == instrument.symbol and order.request.product is Product.MIS:
                floor.cancel(order, CANCELLED)
        for position in self._open_positions():
            if position.instrument.symbol == instrument.symbol:
                order = floor.book.add(_way_out(position), course.clock, course.session.day, RMS_USER)
                floor.tell(floor.book.accept(order, course.clock))


def _way_out(position: Position) -> OrderRequest:
    """The order that closes a position: to the market, however far that is."""
    return OrderRequest(
        position.instrument,
        Side.SELL if position.quantity > 0 else Side.BUY,
        abs(position.quantity),
        Product.MIS,
        OrderType.MARKET,
        Validity.DAY,
        tag=SQUARE_OFF_TAG,
    )
