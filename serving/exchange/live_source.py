"""What is mirrored live: instruments, previous closes and candles of a Kite account, by the official client."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from pipelines.credentials import given_credential, without_secrets
from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import NotFound, ServiceUnavailable
from pipelines.domain.instruments import Instrument, Kind
from serving.exchange.candles import Candles
from serving.exchange.floor import Rules
from serving.exchange.hours import CalendarHours
from serving.exchange.live_market import LiveMarket, Mirror, sessions_ahead
from serving.exchange.market import CLOCK_TOKEN, SessionDay
from serving.exchange.quotes import Forming
from serving.exchange.refusals import input_error
from serving.exchange.venue import Venue
from serving.executor.kite_client import client
from serving.packet_time import PacketTime

KITE, KITE_TICKER = "https://api.kite.trade", "wss://ws.kite.trade"


class SourceCandles(Candles):
    """Candles are the source's own."""

    def __init__(self, kite: Any, tokens: dict[str, int]):
        self._kite, self._tokens = kite, tokens

    def answer(
        self, symbol: str, word: str, first: str, last: str, clock: datetime, forming: Forming | None = None
    ) -> list[list[Any]]:
        if symbol not in self._tokens:
            return []
        try:
            rows = self._kite.historical_data(self._tokens[symbol], first, last, word)
        except Exception as error:  # the client has many
            raise input_error(without_secrets(str(error))) from None
        return [
            [row["date"].strftime("%Y-%m-%dT%H:%M:%S%z"), *(row[n] for n in ("open", "high", "low", "close", "volume"))]
            for row in rows
        ]


@dataclass(frozen=True)
class Live:
    """A live market, ready to be mirrored."""

    instruments: tuple[Instrument, ...]
    days: tuple[SessionDay, ...]
    previous_closes: dict[str, Decimal]
    interval: Interval
    market: LiveMarket
    _kite: Any
    _ticker: str

    def venue(self, rules: Rules, ticks_per_bar: int, seed: int, auction_gap_bps: float = 0.0) -> Venue:
        """The source's own ticks, whatever the arguments but `rules` say."""
        rules = replace(rules, hours=rules.hours or CalendarHours(seed=seed))
        return Venue(self.instruments, self.market, self.previous_closes, rules)

    def candles(self) -> Candles:
        return SourceCandles(self._kite, {instrument.symbol: instrument.token for instrument in self.instruments})

    def start(self) -> None:
        tokens = sorted({instrument.token for instrument in self.instruments} | {CLOCK_TOKEN})
        Mirror(self.market, self._ticker, self._kite.api_key, self._kite.access_token, tokens).start()


def live_source(root: str, symbols: frozenset[str], days: list[SessionDay] | None = None) -> Live:
    """Log on to a source with the key and the token of `kite_live_api_key` and `kite_live_access_token`.

    Parameters
    ----------
    root : address of Kite, or of another exchange that speaks its protocol
    symbols : what to mirror, of NSE
    days : sessions; those of the calendar from now on if not given

    Raises
    ------
    NotFound : if key or token are not given, or a symbol is not listed.
    ServiceUnavailable : if the source refuses or does not answer.
    """
    key = given_credential("kite_live_api_key", "the API key of your Kite Connect app")
    token = given_credential("kite_live_access_token", "today's access token of your Kite Connect app")
    kite = client(key, root)
    kite.set_access_token(token)
    try:
        listed = {row["tradingsymbol"]: row for row in kite.instruments("NSE")}
        missing = sorted(symbols - set(listed))
        if missing:
            raise NotFound(f"{', '.join(missing)} not listed on NSE by {root}; correct --symbols")
        instruments = tuple(_instrument(listed[symbol]) for symbol in sorted(symbols))
        quotes = kite.ohlc([f"NSE:{symbol}" for symbol in sorted(symbols)])
    except NotFound:
        raise
    except Exception as error:  # the client has many
        told = without_secrets(f"{type(error).__name__}: {error}")
        raise ServiceUnavailable(f"{root} cannot be mirrored ({told}); log in anew and check the address") from None
    closes = {name.partition(":")[2]: Decimal(str(quote["ohlc"]["close"])) for name, quote in quotes.items()}
    time = PacketTime(wall=lambda: datetime.now(IST)) if root == KITE else None  # another source has days of its own
    known = {one.token: float(closes[one.symbol]) for one in instruments if closes.get(one.symbol)}
    market = LiveMarket(instruments, days or sessions_ahead(datetime.now(IST)), time, known)
    ticker = KITE_TICKER if root == KITE else root.replace("http", "ws", 1)
    return Live(
        instruments, tuple(market.days), {s: c for s, c in closes.items() if c}, Interval.MIN_1, market, kite, ticker
    )


def _instrument(row: dict[str, Any]) -> Instrument:
    index = row["segment"] == "INDICES"
    size = Decimal(str(row["tick_size"]))
    return Instrument(
        row["tradingsymbol"],
        int(row["instrument_token"]),
        Kind.INDEX if index else Kind.STOCK,
        size if size > 0 else Decimal("0.05"),
        max(int(row["lot_size"]), 1),
        "",
        not index,
    )
