"""The closing auction's beginning: the reference price that its band lies around, and the orders it does not know."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

from pipelines.domain.trading_phases import Phase
from serving.exchange.book import Variety
from serving.exchange.floor import Floor
from serving.exchange.market import PAISA

REFERENCE_WINDOW = timedelta(minutes=15)  #: before the auction: the reference price is its VWAP
NOT_IN_THE_AUCTION = "Cancelled by the exchange: stop and iceberg orders do not take part in the closing auction."


@dataclass
class ClosingAuction:
    """Watches a day come to its closing auction, where the market has one."""

    floor: Floor
    _before: dict[str, tuple[Decimal, int]] = field(default_factory=dict)  # rupees and shares when the window began
    _begun: bool = False

    def start_day(self) -> None:
        self._before.clear()
        self._begun = False

    def watch(self) -> None:
        """After each frame's trades: note where the window begins, and begin the auction in time."""
        course = self.floor.course
        begins = course.hours.closing_auction_at(course.session)
        if begins is None or self._begun or course.clock < begins - REFERENCE_WINDOW:
            return
        if not self._before:
            quotes = self.floor.board.quotes
            self._before = {symbol: (quote.value, quote.volume) for symbol, quote in quotes.items()}
        if course.clock >= begins:
            self._begin()

    def _begin(self) -> None:
        self._begun = True
        course = self.floor.course
        for symbol, (value, volume) in self._before.items():
            quote = self.floor.board.quotes[symbol]
            if not quote.instrument.tradable or not course.phase(quote.instrument).in_closing_auction:
                continue
            shares = quote.volume - volume
            mean = (quote.value - value) / shares if shares else quote.last_price
            quote.auction_reference = mean.quantize(PAISA, ROUND_HALF_UP)
        for order in self.floor.book.working():
            unknown = order.waits_for_trigger or order.request.variety is Variety.ICEBERG
            if unknown and course.phase(order.request.instrument) is not Phase.CONTINUOUS:
                self.floor.cancel(order, NOT_IN_THE_AUCTION)
