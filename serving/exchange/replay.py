"""Real days from files as a market: bars or ticks, with tokens and tick sizes from Kite's dump where it is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, Interval
from pipelines.domain.errors import BadInput, NotFound
from pipelines.domain.instruments import Instrument, Kind
from pipelines.ingest.names import canonical, kind_of, tokens_for
from serving.exchange.bar_files import read_bars
from serving.exchange.candles import Candles
from serving.exchange.floor import Rules
from serving.exchange.market import BarMarket, Market, SessionDay, rupees, session_days, to_paise
from serving.exchange.tick_files import minute_bars, read_ticks
from serving.exchange.tick_tape import TickTape
from serving.exchange.venue import Venue

TICK_SIZE = Decimal("0.05")  #: what nearly all stocks of the recorded years moved by; files do not say


@dataclass(frozen=True)
class Choice:
    """What to play of the files; empty takes all."""

    days: frozenset[date] = frozenset()
    symbols: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Replay:
    """Days from files, ready to be played."""

    instruments: tuple[Instrument, ...]
    days: tuple[SessionDay, ...]
    previous_closes: dict[str, Decimal]
    interval: Interval
    told: tuple[str, ...]  #: what was left out or taken for granted, in sentences
    _market: Callable[[int, int, float], Market]
    bars: Mapping[str, pd.DataFrame]  #: of all days, those before the played ones too

    def market(self, ticks_per_bar: int, seed: int, auction_gap_bps: float = 0.0) -> Market:
        """A fresh market; a tape takes its ticks as they were, whatever the arguments."""
        return self._market(ticks_per_bar, seed, auction_gap_bps)

    def venue(self, rules: Rules, ticks_per_bar: int, seed: int, auction_gap_bps: float = 0.0) -> Venue:
        market = self.market(ticks_per_bar, seed, auction_gap_bps)
        return Venue(self.instruments, market, self.previous_closes, rules)

    def candles(self) -> Candles:
        empty = next(iter(self.bars.values())).iloc[:0]
        return Candles(lambda symbol: self.bars.get(symbol, empty), self.interval)


def replay_bars(path: Path, choice: Choice, dump: Path | None = None) -> Replay:
    """Bars of files as a market: the days asked for are played, those before them are history.

    Raises
    ------
    NotFound, BadInput : see `read_bars`; also if none of the days asked for is there.
    """
    read = read_bars(path, choice.symbols, choice.days)
    played = {symbol: _of_days(bars, choice.days) for symbol, bars in read.bars.items()}
    if not any(len(bars) for bars in played.values()):
        raise NotFound(f"{path} holds no bars of {_in_words(choice.days)}; correct --days")
    played = {symbol: bars for symbol, bars in played.items() if len(bars)}
    instruments, said = _instruments(played, read.has_volume, dump)
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    days = session_days(played, whole=True)
    return Replay(
        instruments,
        tuple(days),
        _closes_before(read.bars, played),
        read.interval,
        (*read.left_out, *said),
        lambda ticks_per_bar, seed, gap_bps: BarMarket(days, by_symbol, ticks_per_bar, seed, gap_bps),
        read.bars,
    )


def replay_ticks(path: Path, choice: Choice, dump: Path | None = None) -> Replay:
    """Ticks of files as a market.

    Raises
    ------
    NotFound, BadInput : see `read_ticks`.
    """
    read = read_ticks(path, choice.days, choice.symbols)
    bars = {symbol: frame[list(BAR_COLUMNS)] for symbol, frame in minute_bars(read.ticks).items()}
    volumes = {symbol: bool((frame["volume"] > 0).any()) for symbol, frame in bars.items()}
    instruments, said = _instruments(bars, volumes, dump)
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    counts = ", ".join(f"{count} {what}" for what, count in read.left_out.items())
    return Replay(
        instruments,
        tuple(TickTape(read.ticks, by_symbol).days),
        {},
        Interval.MIN_1,
        (f"{len(read.ticks)} ticks; left out: {counts or 'none'}; {read.reordered} put in order", *said),
        lambda ticks_per_bar, seed, gap_bps: TickTape(read.ticks, by_symbol),
        bars,
    )


def days_asked(text: str) -> frozenset[date]:
    """Days from `2021-05-17,2021-05-19` or `2021-05-17:2021-05-21`, both ends included."""
    found: set[date] = set()
    try:
        for part in text.split(","):
            first, _, last = part.strip().partition(":")
            start, end = date.fromisoformat(first), date.fromisoformat(last or first)
            found |= {start + timedelta(days=n) for n in range((end - start).days + 1)}
    except ValueError:
        raise BadInput(f"--days {text}: days such as 2021-05-17, 2021-05-18:2021-05-21 were expected") from None
    return frozenset(found)


def symbols_asked(text: str) -> frozenset[str]:
    return frozenset(canonical(part) for part in text.split(",") if part.strip())


def _of_days(bars: pd.DataFrame, days: frozenset[date]) -> pd.DataFrame:
    return bars[bars["open_time"].dt.date.isin(days)] if days else bars


def _in_words(days: frozenset[date]) -> str:
    return ", ".join(map(str, sorted(days))) or "any day"


def _closes_before(bars: Mapping[str, pd.DataFrame], played: Mapping[str, pd.DataFrame]) -> dict[str, Decimal]:
    closes = {}
    for symbol, session in played.items():
        before = bars[symbol][bars[symbol]["open_time"] < session["open_time"].iloc[0]]
        if len(before):
            closes[symbol] = rupees(to_paise(before["close"].iloc[-1]))
    return closes


def _instruments(
    bars: Mapping[str, pd.DataFrame], has_volume: Mapping[str, bool], dump: Path | None
) -> tuple[tuple[Instrument, ...], list[str]]:
    """Instruments with the dump's tokens and tick sizes; a tick size that the played prices do not keep is not used."""
    tokens = tokens_for(bars)
    listed, told = _listed(dump), []
    found = []
    for symbol in sorted(bars):
        kind = kind_of(symbol)
        own = Instrument(symbol, tokens[symbol], kind, TICK_SIZE, 1, "", has_volume[symbol])
        if symbol in listed:
            token, size = listed[symbol]
            own = replace(own, token=token)
            if size > 0 and kind is Kind.STOCK and size != TICK_SIZE:
                keeps = _on_ticks(bars[symbol], size)
                own = replace(own, tick_size=size) if keeps else own
                told += [] if keeps else [f"{symbol}: today's tick size {size} does not fit its prices; {TICK_SIZE}"]
        found.append(own)
    return tuple(found), told


def _listed(dump: Path | None) -> dict[str, tuple[int, Decimal]]:
    """Token and tick size by symbol, from Kite's dump of NSE (an index column in front does not matter)."""
    if dump is None:
        return {}
    if not dump.exists():
        raise NotFound(f"{dump} is not there; give --instruments Kite's dump as CSV, or leave it out")
    table = pd.read_csv(dump, dtype=str)
    missing = {"tradingsymbol", "instrument_token", "tick_size", "exchange"} - set(table.columns)
    if missing:
        raise BadInput(f"{dump} lacks the columns {', '.join(sorted(missing))}; download it from /instruments/NSE")
    table = table[table["exchange"] == "NSE"]
    rows = zip(table["tradingsymbol"], table["instrument_token"], table["tick_size"], strict=True)
    return {symbol: (int(token), Decimal(size)) for symbol, token, size in rows}


def _on_ticks(bars: pd.DataFrame, size: Decimal) -> bool:
    """Whether nearly all prices lie on the grid."""
    step = int(size * 100)
    paise = (bars[["open", "high", "low", "close"]].to_numpy() * 100).round().astype("int64")
    return step > 0 and float((paise % step == 0).mean()) > 0.99
