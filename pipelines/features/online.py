"""Features bar by bar: the same compiled steps as the batch, on states that move with the market."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST, Bar, Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.news import News
from pipelines.features.batch import (
    MARKET_RETURN,
    NIFTY_RETURN,
    Asides,
    Stock,
    market_table,
    published_later,
    step_history,
    survey_closes,
)
from pipelines.features.catalogue import FEATURE_NAMES, MARKET_NAMES, catalogue_hash
from pipelines.features.closes import (
    CLOSE_STATE,
    OWN_LINES,
    add_up,
    compare_stocks,
    lay_out,
    market_columns,
    survey_bars,
)
from pipelines.features.events import EVENTS, NO_DATES, dates_by_symbol, write_events
from pipelines.features.indices import INDICES, STALE_DAYS
from pipelines.features.inputs import (
    MICROSECONDS_PER_DAY,
    MICROSECONDS_PER_HOUR,
    Said,
    add_item,
    microseconds,
    moment_us,
)
from pipelines.features.outcomes import Ended, Tally, write_outcomes
from pipelines.features.state import IN, INPUTS
from pipelines.features.step import StepRows, as_records, new_states, step_bars
from pipelines.features.survey import COUNTS, SUM, SURVEY_STATE

_EPOCH = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - a day number, no moment


@dataclass(frozen=True, slots=True)
class OnlineRows:
    close_time: datetime
    rows: dict[str, dict[str, float]]  #: by symbol, only of those with a bar at this close
    market: dict[str, float]  #: empty when no stock has a bar


class OnlineFeatures:
    """Features of a set of instruments at each close.

    `replay` takes the history in one stroke; after it, `update` gives the rows the batch builder would give, equal to
    the bit. Without it the features warm up from the first update on, and those with an endless memory (exponential
    means, RSI, ATR, ADX) come near the batch's only with time.

    Parameters
    ----------
    instruments : sequence of Instrument
        Indices get no rows; bars of those in `indices.INDICES` are context.
    interval : Interval
        Of the bars that will come.
    actions : DataFrame with `symbol, ex_date, known_at`; each counts from the moment it was known
    """

    def __init__(self, instruments: Sequence[Instrument], interval: Interval, actions: pd.DataFrame | None = None):
        stocks = sorted((item for item in instruments if item.kind is Kind.STOCK), key=lambda item: item.symbol)
        self.catalogue_hash = catalogue_hash(interval)
        self._interval = Interval(interval)
        self._symbols = [item.symbol for item in stocks]
        self._stocks = {item.symbol: Stock(item.has_volume, item.sector) for item in stocks}
        self._places = {symbol: i for i, symbol in enumerate(self._symbols)}
        self._states, self._surveys = new_states(len(stocks)), new_states(len(stocks), SURVEY_STATE)
        self._close_state = new_states(1, CLOSE_STATE)
        self._news: dict[str, list[News]] = {}
        self._levels: dict[str, list[tuple[int, float]]] = {name: [] for name in INDICES}
        self._all_tally, self._tallies = Tally(), {symbol: Tally() for symbol in self._symbols}
        self._waiting: list[Ended] = []
        self._dates = dates_by_symbol(actions)
        self._now: datetime | None = None

    def replay(
        self, bars: Mapping[str, pd.DataFrame], news: pd.DataFrame, outcomes: Sequence[Ended] = ()
    ) -> pd.DataFrame | None:
        """Take in a history, as `batch.build_features` does; only before the first update.

        Returns
        -------
        The market's rows, as of `batch.market_table`; None where the history holds no stock.

        Raises
        ------
        BadInput : if something was taken in before.
        """
        if self._now is not None:
            raise BadInput(f"history must come before the first update, but {self._now} is known already; start anew")
        symbols = [symbol for symbol in self._symbols if symbol in bars and len(bars[symbol])]
        self._take_index_history(bars)
        if not symbols:
            self._waiting.extend(outcomes)
            return None
        self._now = max(bars[symbol]["close_time"].iloc[-1] for symbol in symbols).to_pydatetime()
        now = moment_us(self._now)
        known = sorted(ended for ended in outcomes if ended.known_us <= now)
        self._waiting.extend(ended for ended in outcomes if ended.known_us > now)
        asides = Asides.of(news, None, known)
        surveys = {symbol: self._surveys[self._places[symbol] :][:1] for symbol in symbols}
        closes = survey_closes(bars, symbols, self._stocks, asides, self._interval, surveys)
        self._close_state = closes.state
        for symbol in symbols:
            frame, state = bars[symbol], self._states[self._places[symbol] :][:1]
            times, of_symbol = microseconds(frame["close_time"]), asides.news.get(symbol, Said())
            for _ in step_history(frame, times, closes.at(times), of_symbol, self._stocks[symbol], closes, state):
                pass  # only where it leaves the state is asked for
        last = {symbol: bars[symbol]["close_time"].iloc[-1] for symbol in symbols}
        waiting = news[news["time"] > news["symbol"].map(last)]
        for symbol, time, sentiment in zip(waiting["symbol"], waiting["time"], waiting["sentiment"], strict=True):
            self._news.setdefault(symbol, []).append(News(symbol, time.to_pydatetime(), float(sentiment)))
        for ended in known:
            self._take_outcome(ended)
        return market_table(closes)

    def update(
        self,
        close_time: datetime,
        bars: Mapping[str, Bar],
        news: Sequence[News] = (),
        outcomes: Sequence[Ended] = (),
    ) -> OnlineRows:
        """Features at one close.

        Parameters
        ----------
        close_time : datetime with a zone, later than the one before
        bars : mapping of symbol to Bar
            The bars that close now; a symbol without trades is left out. Of an index of
            `indices.INDICES` its level is kept; other indices and unknown symbols are passed over.
        news : sequence of News
            Items learnt since the update before; one with a later time waits for its bar.
        outcomes : sequence of Ended
            Trades that were closed since the update before; one with a later time waits for its close.

        Returns
        -------
        OnlineRows with NaN for features that still warm up.

        Raises
        ------
        BadInput : if time does not move on, or a bar closes at another time.
        """
        present = [symbol for symbol in self._symbols if symbol in bars]
        self._check(close_time, {symbol: bars[symbol] for symbol in (*present, *INDICES) if symbol in bars})
        self._now = close_time
        now = moment_us(close_time)
        for item in news:
            if item.symbol in self._places:
                self._news.setdefault(item.symbol, []).append(item)
        self._take_levels(bars, now)
        self._waiting.extend(outcomes)
        if not present:
            return OnlineRows(close_time, {}, {})
        self._take_due_outcomes(now)
        where = np.array([self._places[symbol] for symbol in present])
        inputs = self._inputs(present, bars, close_time, now)
        figures, counts = survey_bars(self._surveys, where, inputs)
        market = self._market_column(counts, now)
        inputs[:, IN.market_return], inputs[:, IN.nifty_return] = market[MARKET_RETURN, 0], market[NIFTY_RETURN, 0]
        self._add_sectors(present, inputs, counts)
        stepped = step_bars(self._states, where, as_records(inputs), StepRows(len(present)))
        compared = compare_stocks(figures[np.newaxis])[0]
        values, counts = np.empty((len(FEATURE_NAMES), len(present))), self._surveys["count"][where]
        at = np.zeros(len(present), dtype=np.int64)
        self._write_own(present, now, values[OWN_LINES])
        lay_out(stepped, market, at, compared, counts, 0, values)
        rows = {
            symbol: dict(zip(FEATURE_NAMES, row, strict=True))
            for symbol, row in zip(present, values.T.tolist(), strict=True)
        }
        return OnlineRows(close_time, rows, dict(zip(MARKET_NAMES, market[:, 0].tolist(), strict=True)))

    def _check(self, close_time: datetime, bars: Mapping[str, Bar]) -> None:
        if self._now is not None and close_time <= self._now:
            raise BadInput(f"bars must close after {self._now}, but these close at {close_time}; a bar is given once")
        for symbol, bar in bars.items():
            if bar.close_time != close_time:
                raise BadInput(f"{symbol}: the bar closes at {bar.close_time}, but the update is for {close_time}")

    # --- what is given ---

    def _inputs(self, present: Sequence[str], bars: Mapping[str, Bar], close_time: datetime, now: int) -> np.ndarray:
        local = close_time.astimezone(IST)
        inputs = np.zeros((len(present), len(INPUTS)))
        inputs[:, IN.session] = local.toordinal() - _EPOCH
        inputs[:, IN.minute] = local.hour * 60 + local.minute
        inputs[:, IN.weekday] = local.weekday()
        inputs[:, IN.month] = local.month
        inputs[:, IN.hour] = now / MICROSECONDS_PER_HOUR
        of = [bars[symbol] for symbol in present]
        for place, name in ((IN.open, "open"), (IN.high, "high"), (IN.low, "low"), (IN.close, "close")):
            inputs[:, place] = [getattr(bar, name) * bar.adjustment for bar in of]
        inputs[:, IN.volume] = [
            float(bar.volume) / bar.adjustment if self._stocks[bar.symbol].has_volume else math.nan for bar in of
        ]
        for i, symbol in enumerate(present):
            if self._news.get(symbol):
                self._take_news(symbol, close_time, inputs[i])
        return inputs

    def _take_news(self, symbol: str, close_time: datetime, row: np.ndarray) -> None:
        waiting = self._news[symbol]
        due = [item for item in waiting if item.time <= close_time]
        self._news[symbol] = [item for item in waiting if item.time > close_time]
        for item in sorted(due, key=_said_at):
            add_item(row, moment_us(item.time), item.sentiment)

    def _add_sectors(self, present: Sequence[str], inputs: np.ndarray, counts: np.ndarray) -> None:
        """The sums of each sector, stock after stock, as the batch adds them."""
        sums: dict[str, np.ndarray] = {}
        sectors = [self._stocks[symbol].sector for symbol in present]
        for sector, row in zip(sectors, counts[:, (SUM.returns, SUM.known)], strict=True):
            if sector:
                sums[sector] = sums[sector] + row if sector in sums else 0.0 + row
        for i, sector in enumerate(sectors):
            if sector:
                inputs[i, IN.sector_sum], inputs[i, IN.sector_known] = sums[sector]

    # --- the market ---

    def _market_column(self, counts: np.ndarray, now: int) -> np.ndarray:
        sums = np.zeros((1, len(COUNTS)))
        add_up(counts, sums[0])
        levels = np.array([[self._level(name, now) for name in INDICES]])
        tallies = self._all_tally.values[np.newaxis]
        return market_columns(self._close_state, np.array([now]), sums, levels, tallies, self._interval)

    def _take_index_history(self, bars: Mapping[str, pd.DataFrame]) -> None:
        for name in INDICES:
            if name in bars and len(bars[name]):
                last = bars[name].iloc[-2:]
                levels = last["close"].astype("float64").tolist()
                self._levels[name] = list(zip(microseconds(last["close_time"]).tolist(), levels, strict=True))

    def _take_levels(self, bars: Mapping[str, Bar], now: int) -> None:
        """Two are kept: one that closes now may be known only later."""
        for name in INDICES:
            if name in bars:
                self._levels[name] = [*self._levels[name][-1:], (now, float(bars[name].close))]

    def _level(self, name: str, now: int) -> float:
        later = published_later(name, self._interval)
        known = [(at, level) for at, level in self._levels[name] if at < now or (at == now and not later)]
        if not known or now - known[-1][0] > STALE_DAYS * MICROSECONDS_PER_DAY:
            return math.nan
        return known[-1][1]

    # --- outcomes and events ---

    def _take_due_outcomes(self, now: int) -> None:
        due = sorted(ended for ended in self._waiting if ended.known_us <= now)
        self._waiting = [ended for ended in self._waiting if ended.known_us > now]
        for ended in due:
            self._take_outcome(ended)

    def _take_outcome(self, ended: Ended) -> None:
        self._all_tally.take(ended)
        if ended.symbol in self._tallies:
            self._tallies[ended.symbol].take(ended)

    def _write_own(self, present: Sequence[str], now: int, out: np.ndarray) -> None:
        times = np.full(len(present), now)
        for i, symbol in enumerate(present):
            write_events(self._dates.get(symbol, NO_DATES), times[:1], out[:EVENTS, i : i + 1])
        tallies = np.array([self._tallies[symbol].values for symbol in present])
        heard = np.full(len(present), not math.isnan(self._all_tally.values[0]))
        write_outcomes(tallies, times, heard, out[EVENTS:])


def _said_at(item: News) -> tuple[datetime, bool, float]:
    """By time, then by sentiment; those without one come last."""
    return item.time, math.isnan(item.sentiment), item.sentiment
