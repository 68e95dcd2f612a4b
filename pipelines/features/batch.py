"""Features of a whole history, instrument by instrument.

Two passes read the bars. The first surveys each stock: its figures wait on disk, and sums over the stocks are kept per
close. Then the market's rows are made, and the figures of a block of closes at a time are ranked. The second pass makes
each instrument's rows, two instruments at a time, so that memory does not grow with their number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST, Interval
from pipelines.domain.instruments import Kind
from pipelines.features.ahead import made_ahead
from pipelines.features.catalogue import COMPARED, FEATURE_NAMES, MARKET_NAMES
from pipelines.features.closes import CLOSE_STATE, OWN_LINES, compare_stocks, lay_out, market_columns, survey_bars
from pipelines.features.events import EVENTS, NO_DATES, dates_by_symbol, write_events
from pipelines.features.indices import INDICES, STALE_DAYS, VIX
from pipelines.features.inputs import MICROSECONDS_PER_DAY, Said, bar_inputs, microseconds, news_by_symbol
from pipelines.features.outcomes import Ended, Tallies, write_outcomes
from pipelines.features.spill import Spill
from pipelines.features.state import IN
from pipelines.features.step import StepRows, as_records, new_states, step_bars
from pipelines.features.survey import COUNTS, FIGURES, SUM, SURVEY_STATE

BLOCK_BYTES = 8_000_000  #: of figures that are ranked at once
THREADS = 2  #: instruments that are worked on at once
BLOCK_BARS = 256  #: that are stepped at once: their rows stay at hand until they are laid out
_COLUMNS = pd.Index(FEATURE_NAMES)
MARKET_RETURN, NIFTY_RETURN = MARKET_NAMES.index("market_return_1"), MARKET_NAMES.index("nifty_return_1")
_SECTOR_COUNTS = (SUM.returns, SUM.known)


@dataclass(frozen=True)
class FeatureTables:
    """The market's table, and the instruments' tables in order: only a few are in memory at a time."""

    market: pd.DataFrame
    rows: Iterator[tuple[str, pd.DataFrame]]


@dataclass(frozen=True, slots=True)
class Stock:
    """What of a stock's nature its features need."""

    has_volume: bool
    sector: str  #: empty where unknown


@dataclass(frozen=True)
class Asides:
    """What is known beside bars, by symbol where it is of one instrument."""

    news: Mapping[str, Said]
    dates: Mapping[str, np.ndarray]  #: as of `events.announced`
    outcomes: Sequence[Ended]  #: in the order in which they were known

    @classmethod
    def of(cls, news: pd.DataFrame, actions: pd.DataFrame | None = None, outcomes: Sequence[Ended] = ()) -> "Asides":
        """From tables with `symbol, time, sentiment` and with `symbol, ex_date, known_at`."""
        return cls(news_by_symbol(news), dates_by_symbol(actions), outcomes)

    def first_outcome(self) -> int | None:
        """When the first outcome of any instrument was known, microseconds since 1970."""
        return self.outcomes[0].known_us if self.outcomes else None

    def write_own(self, symbol: str, times: np.ndarray, out: np.ndarray) -> None:
        """Events and outcomes of an instrument at closes into `out`, shape (`catalogue.OWN`, n)."""
        first, dates = self.first_outcome(), self.dates.get(symbol, NO_DATES)
        heard = times >= first if first is not None else np.zeros(len(times), dtype=bool)
        tallies = Tallies.of(ended for ended in self.outcomes if ended.symbol == symbol)
        write_events(dates, times, out[:EVENTS])
        write_outcomes(tallies.at(times), times, heard, out[EVENTS:])


@dataclass(frozen=True)
class Closes:
    """What is the same for all instruments at every close at which a stock has a bar."""

    times: np.ndarray  #: microseconds since 1970, shape (n,), ascending
    values: np.ndarray  #: `catalogue.MARKET`, shape (features, n)
    sectors: Mapping[str, np.ndarray]  #: by sector the summed returns and their number, shape (n, 2)
    state: np.ndarray  #: after the last close, shape (1,)

    def at(self, times: np.ndarray) -> np.ndarray:
        """Places of the closes `times`, each of which must be one of these."""
        if np.array_equal(times, self.times):
            return np.arange(len(times))
        return np.searchsorted(self.times, times)


def build_features(
    bars: Mapping[str, pd.DataFrame],
    news: pd.DataFrame,
    instruments: pd.DataFrame,
    interval: Interval,
    actions: pd.DataFrame | None = None,
    outcomes: Sequence[Ended] = (),
    scratch: Path | None = None,
    threads: int = THREADS,
) -> FeatureTables:
    """Features of every stock at every bar's close, from what was known then.

    Parameters
    ----------
    bars : mapping of symbol to DataFrame of shape (n_bars, 9)
        Validated columns, sorted by `open_time`; may read lazily, each stock is asked for twice.
    news : DataFrame with `symbol, time, sentiment`
        An item counts from the first bar that closes at or after its time.
    instruments : DataFrame with `symbol, kind, has_volume`, and `sector` where known
        Indices get no rows; those of `indices.INDICES` are context.
    interval : Interval
        Of the bars. The features are the same for all; the catalogue's hash is not.
    actions : DataFrame with `symbol, ex_date, known_at`
    outcomes : closed trades, as of `outcomes.ended_in`
    scratch : folder for what waits on disk until the last row is made
    threads : instruments that are worked on at once; the rows do not depend on it

    Returns
    -------
    FeatureTables
        `market` with `close_time` and the market features, `rows` with `symbol, close_time` and one float64 column a
        feature, in the catalogue's order; NaN for the first `look_back` bars of an instrument.
    """
    interval = Interval(interval)
    stocks = stocks_of(instruments)
    symbols = sorted(set(bars) & set(stocks))
    asides = Asides.of(news, actions, outcomes)
    spill = Spill(1 + max(len(FIGURES), len(COMPARED)), scratch)
    states = {symbol: new_states(1, SURVEY_STATE) for symbol in symbols}
    closes = survey_closes(bars, symbols, stocks, asides, interval, states, spill, threads)
    _compare_all(spill, symbols, closes.times, threads)
    return FeatureTables(market_table(closes), _tables(bars, symbols, stocks, asides, closes, spill, threads))


def stocks_of(instruments: pd.DataFrame) -> dict[str, Stock]:
    """The stocks by symbol."""
    rows = instruments[instruments["kind"] == Kind.STOCK.value]
    sectors = rows["sector"].fillna("") if "sector" in rows else pd.Series("", index=rows.index)
    return {
        str(symbol): Stock(bool(known), str(sector))
        for symbol, known, sector in zip(rows["symbol"], rows["has_volume"], sectors, strict=True)
    }


def survey_closes(
    bars: Mapping[str, pd.DataFrame],
    symbols: Sequence[str],
    stocks: Mapping[str, Stock],
    asides: Asides,
    interval: Interval,
    states: Mapping[str, np.ndarray],
    spill: Spill | None = None,
    threads: int = THREADS,
) -> Closes:
    """The first pass: the market at every close, of the stocks in the order of `symbols`, as they are online.

    Their survey states move on; their close times and figures are appended to `spill`.
    """

    def surveyed(symbol: str) -> tuple[np.ndarray, np.ndarray]:
        frame = bars[symbol]
        times = microseconds(frame["close_time"])
        inputs = bar_inputs(frame, times, asides.news.get(symbol, Said()), stocks[symbol].has_volume)
        figures, counts = survey_bars(states[symbol], np.zeros(len(inputs), dtype=np.int64), inputs)
        if spill is not None:
            spill.append(symbol, _wide(times, figures, spill.width))
        return times, counts

    times, sums = np.empty(0, dtype=np.int64), np.empty((0, len(COUNTS)))
    sectors: dict[str, np.ndarray] = {}
    for symbol, (own_times, counts) in zip(symbols, made_ahead(surveyed, symbols, threads), strict=True):
        if not np.array_equal(times, own_times):
            joined = np.union1d(times, own_times)
            places = np.searchsorted(joined, times)
            sums = _spread(sums, places, len(joined))
            sectors = {sector: _spread(values, places, len(joined)) for sector, values in sectors.items()}
            times = joined
        at = slice(None) if len(times) == len(own_times) else np.searchsorted(times, own_times)
        sums[at] += counts
        if sector := stocks[symbol].sector:
            of_sector = sectors.setdefault(sector, np.zeros((len(times), 2)))
            of_sector[at] += counts[:, _SECTOR_COUNTS]
    levels = np.column_stack([index_levels(bars, name, times, interval) for name in INDICES])
    state = new_states(1, CLOSE_STATE)
    tallies = Tallies.of(asides.outcomes).at(times)
    return Closes(times, market_columns(state, times, sums, levels, tallies, interval), sectors, state)


def _spread(values: np.ndarray, places: np.ndarray, length: int) -> np.ndarray:
    """The rows at their places among more rows, the others zero."""
    out = np.zeros((length, values.shape[1]))
    out[places] = values
    return out


def _wide(times: np.ndarray, values: np.ndarray, width: int) -> np.ndarray:
    """Close times and values side by side; a time in microseconds is exact in a float64."""
    out = np.zeros((len(values), width))
    out[:, 0] = times
    out[:, 1 : 1 + values.shape[1]] = values
    return out


def index_levels(bars: Mapping[str, pd.DataFrame], name: str, times: np.ndarray, interval: Interval) -> np.ndarray:
    """Where an index stood at closes, shape (n,); NaN before its first bar and where its last one is stale."""
    if name not in bars or not len(bars[name]):
        return np.full(len(times), np.nan)
    frame = bars[name]
    known, levels = microseconds(frame["close_time"]), frame["close"].to_numpy(np.float64)
    at = np.searchsorted(known, times, side="left" if published_later(name, interval) else "right") - 1
    found = levels[np.maximum(at, 0)]
    fresh = (at >= 0) & (times - known[np.maximum(at, 0)] <= STALE_DAYS * MICROSECONDS_PER_DAY)
    return np.where(fresh, found, np.nan)


def published_later(name: str, interval: Interval) -> bool:
    """Whether a bar's value is known only after its close."""
    return name == VIX and not interval.intraday


def _compare_all(spill: Spill, symbols: Sequence[str], times: np.ndarray, threads: int) -> None:
    """Put the comparisons of each bar in place of its figures, a block of closes after another."""
    figures, closes = len(FIGURES), max(1, BLOCK_BYTES // (8 * max(len(symbols), 1) * (len(FIGURES) + len(COMPARED))))
    read = dict.fromkeys(symbols, 0)
    for first in range(0, len(times), closes):
        block = times[first : first + closes]
        values = np.full((len(block), len(symbols), figures), np.nan)
        found: list[tuple[int, str, np.ndarray]] = []
        for i, symbol in enumerate(symbols):
            rows = spill.read(symbol, read[symbol], read[symbol] + len(block))
            rows = rows[rows[:, 0] <= block[-1]]
            at = np.searchsorted(block, rows[:, 0].astype(np.int64))
            values[at, i] = rows[:, 1 : 1 + figures]
            found.append((i, symbol, at))
        compared = np.concatenate(list(made_ahead(compare_stocks, np.array_split(values, threads), threads)))
        for i, symbol, at in found:
            spill.write(symbol, read[symbol], _wide(block[at], compared[at, i], spill.width))
            read[symbol] += len(at)


def market_table(closes: Closes) -> pd.DataFrame:
    frame = pd.DataFrame(closes.values.T, columns=list(MARKET_NAMES), copy=False)
    frame.insert(0, "close_time", _close_times(closes.times))
    return frame


def step_history(
    frame: pd.DataFrame, times: np.ndarray, at: np.ndarray, news: Said, stock: Stock, closes: Closes, state: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """What the step makes of an instrument's bars, a block after another: its place, and rows of shape (n, `STEP`).

    The rows of a block are written over by the next one. `state` (1,) moves on.
    """
    inputs = bar_inputs(frame, times, news, stock.has_volume)
    inputs[:, IN.market_return] = closes.values[MARKET_RETURN, at]
    inputs[:, IN.nifty_return] = closes.values[NIFTY_RETURN, at]
    if stock.sector:
        inputs[:, [IN.sector_sum, IN.sector_known]] = closes.sectors[stock.sector][at]
    records = as_records(inputs)
    rows, where = StepRows(BLOCK_BARS), np.zeros(BLOCK_BARS, dtype=np.int64)
    for first in range(0, len(times), BLOCK_BARS):
        block = slice(first, min(first + BLOCK_BARS, len(times)))
        yield block, step_bars(state, where, records[block], rows)


def _tables(
    bars: Mapping[str, pd.DataFrame],
    symbols: Sequence[str],
    stocks: Mapping[str, Stock],
    asides: Asides,
    closes: Closes,
    spill: Spill,
    threads: int,
) -> Iterator[tuple[str, pd.DataFrame]]:
    def made(symbol: str) -> tuple[str, pd.DataFrame]:
        frame, news = bars[symbol], asides.news.get(symbol, Said())
        times = microseconds(frame["close_time"])
        at = closes.at(times)
        compared = np.ascontiguousarray(spill.read(symbol)[:, 1 : 1 + len(COMPARED)])
        counts = np.arange(1, len(times) + 1)
        values = np.empty((len(FEATURE_NAMES), len(times)))
        asides.write_own(symbol, times, values[OWN_LINES])
        for block, stepped in step_history(frame, times, at, news, stocks[symbol], closes, new_states(1)):
            lay_out(stepped, closes.values, at[block], compared[block], counts[block], block.start, values)
        return symbol, _table(symbol, times, values)

    with spill:
        yield from made_ahead(made, symbols, threads)


def _table(symbol: str, times: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """`values` as a table, without a copy; shape (features, n)."""
    table = pd.DataFrame(values.T, columns=_COLUMNS, copy=False)
    table.insert(0, "close_time", _close_times(times))
    table.insert(0, "symbol", symbol)
    return table


def _close_times(times: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(times.view("M8[us]"), tz=UTC).tz_convert(IST)
