"""What is quoted of each instrument as the day goes: last price, day's range, volume, a depth around the last price."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from pipelines.domain.instruments import Instrument, Kind
from serving.exchange.market import CLOCK_BASE, CLOCK_TOKEN, PAISA, Tick
from serving.exchange.packets import DEPTH_LEVELS, Level, Snapshot

AUCTION_BAND = Decimal("0.03")  #: share of the reference price: SEBI circular HO/47/11/11(3)2025 of 2026-01-16
DERIVATIVE_BAND = Decimal("0.10")  #: operating range of futures: nseindia.com, price bands; options move no further


@dataclass(slots=True)
class Quote:
    """One instrument's day so far; before its first trade all prices are the previous close."""

    instrument: Instrument
    last_price: Decimal
    previous_close: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    traded: bool = False
    price_before: Decimal | None = None  #: of the trade before the last one today
    last_quantity: int = 0
    volume: int = 0
    value: Decimal = Decimal(0)  #: rupees traded today
    last_trade_time: datetime | None = None
    auction_reference: Decimal | None = None  #: rupees; the closing auction trades in a narrow band around it

    @classmethod
    def before_trading(cls, instrument: Instrument, previous_close: Decimal) -> "Quote":
        return cls(instrument, previous_close, previous_close, previous_close, previous_close, previous_close)

    def trade(self, price: Decimal, quantity: int, at: datetime) -> None:
        if not self.traded:
            self.open = self.high = self.low = price
        self.price_before = self.last_price if self.traded else None
        self.traded = True
        self.last_price, self.last_quantity, self.last_trade_time = price, quantity, at
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.volume += quantity
        self.value += price * quantity

    def as_told(self, opened: Decimal | None, volume: int | None) -> None:
        """The day's open and volume as a live source tells them: what was traded before we looked is in them."""
        if opened is not None:
            self.open, self.high, self.low = opened, max(self.high, opened), min(self.low, opened)
        if volume is not None and volume > self.volume:
            self.value += self.last_price * (volume - self.volume)
            self.volume = volume

    @property
    def average_price(self) -> Decimal:
        return (self.value / self.volume).quantize(PAISA, ROUND_HALF_UP) if self.volume else Decimal(0)

    def circuit(self, share: Decimal) -> tuple[Decimal, Decimal]:
        """Lower and upper circuit limit, on the tick grid inside the band.

        A share of the previous close; of futures the exchange's own; of options as much as their strike's share moves
        them at most. Zeros where no close is known.
        """
        middle = self.auction_reference or self.previous_close
        if not middle:
            return Decimal(0), Decimal(0)
        if self.auction_reference is not None:
            reach = middle * AUCTION_BAND
        elif self.instrument.derivative:
            reach = (self.instrument.strike or middle) * DERIVATIVE_BAND
        else:
            reach = middle * share
        lower, upper = self.instrument.ceil_to_tick(middle - reach), self.instrument.floor_to_tick(middle + reach)
        return max(lower, self.instrument.tick_size), upper

    def snapshot(self, at: datetime) -> Snapshot:
        bids, asks = self._depth()
        return Snapshot(
            token=self.instrument.token,
            last_price=self.last_price,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.previous_close,
            timestamp=at,
            last_quantity=self.last_quantity,
            average_price=self.average_price,
            volume=self.volume,
            buy_quantity=sum(level.quantity for level in bids),
            sell_quantity=sum(level.quantity for level in asks),
            last_trade_time=self.last_trade_time,
            bids=bids,
            asks=asks,
        )

    def _depth(self) -> tuple[list[Level], list[Level]]:
        """A made-up depth, one tick a level: bars know none, and orders do not match against it."""
        if not (self.traded and self.instrument.tradable):
            return [], []
        tick = self.instrument.tick_size
        places = [place for place in range(DEPTH_LEVELS) if self.last_price > tick * place]
        bids = [self._level(self.last_price - tick * place, place) for place in places]
        asks = [self._level(self.last_price + tick * (place + 1), place + 7) for place in range(DEPTH_LEVELS)]
        return bids, asks

    def _level(self, price: Decimal, place: int) -> Level:
        mixed = (self.instrument.token * 2_654_435_761 + self.volume * 40_503 + place * 7_919) % 997
        return Level(price, 20 + mixed * (place % 7 + 1), 1 + mixed % 9)


@dataclass(slots=True)
class Forming:
    """An instrument's bar that is still growing."""

    open_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int = 0

    def trade(self, price: Decimal, quantity: int) -> None:
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.volume += quantity


class QuoteBoard:
    """The quotes of all instruments, and the level of the index that is the clock."""

    def __init__(self, instruments: Iterable[Instrument], previous_closes: Mapping[str, Decimal], clock: Instrument):
        self.clock = clock
        self._closes = dict(previous_closes)
        self._base = dict(previous_closes)
        known = {instrument.symbol: instrument for instrument in instruments}
        self._synthesised = all(instrument.token != CLOCK_TOKEN for instrument in known.values())
        self._instruments = known | {clock.symbol: clock}
        self.quotes: dict[str, Quote] = {}
        self.forming: dict[str, Forming] = {}  #: bars that have begun, by symbol
        self._bar_from: datetime | None = None
        self.start_day()

    def start_day(self) -> None:
        """Today's last prices become the previous closes; volumes and ranges start anew."""
        self._closes |= {symbol: quote.last_price for symbol, quote in self.quotes.items() if quote.last_price}
        self.quotes = {
            symbol: Quote.before_trading(instrument, self._previous_close(symbol))
            for symbol, instrument in self._instruments.items()
        }

    def next_bar(self, at: datetime) -> None:
        """A bar has ended, or a session begins: the next one forms from here on."""
        self.forming.clear()
        self._bar_from = at

    def trade(self, ticks: Iterable[Tick], at: datetime) -> None:
        for tick in ticks:
            symbol, price = tick.instrument.symbol, tick.price
            if symbol not in self.forming:
                self.forming[symbol] = Forming(self._bar_from or at, price, price, price, price)
            self.forming[symbol].trade(price, tick.quantity)
            quote = self.quotes[symbol]
            if not quote.previous_close:  # no history before the session: the first trade stands in
                quote.previous_close = tick.price
            self._base.setdefault(symbol, tick.price)
            quote.trade(tick.price, tick.quantity, at)
            quote.as_told(tick.day_open, tick.day_volume)
        if self._synthesised:
            self.quotes[self.clock.symbol].trade(self._level(), 0, at)

    def _previous_close(self, symbol: str) -> Decimal:
        missing = CLOCK_BASE if self._synthesised and symbol == self.clock.symbol else Decimal(0)
        return self._closes.get(symbol, missing)

    def _level(self) -> Decimal:
        """Equal-weighted level of the stocks since the last close before the session, `CLOCK_BASE` points there."""
        ratios = [
            self.quotes[symbol].last_price / base
            for symbol, base in self._base.items()
            if base and symbol in self.quotes and self.quotes[symbol].instrument.kind is Kind.STOCK
        ]
        mean = sum(ratios, Decimal(0)) / len(ratios) if ratios else Decimal(1)
        return (CLOCK_BASE * mean).quantize(PAISA, ROUND_HALF_UP)
