"""Rows for the policy: history is fetched from the broker and replayed, then each closed bar makes its rows."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import structlog

from pipelines.domain.bars import BAR_COLUMNS, IST, TIME_DTYPE, Bar, Interval
from pipelines.domain.errors import BadInput, FeatureMismatch, TradeSageError
from pipelines.domain.history_windows import KITE_WORDS, history_windows_on
from pipelines.domain.instruments import Instrument
from pipelines.domain.market_calendar import session_on
from pipelines.domain.news import News
from pipelines.domain.outcomes import Outcome
from pipelines.domain.signals import FeatureRow
from pipelines.features.indices import INDICES
from pipelines.features.outcomes import Ended, ended_from, ended_in
from pipelines.ingest.kinds import empty
from serving.executor.adjusting import Adjusting
from serving.executor.bar_builder import ClosedBars, session_grid

LOG = structlog.get_logger("executor")
MOST_REQUESTS = 6  #: per instrument; five-minute bars then go back 600 days
Fetch = Callable[[int, datetime, datetime, str], list[dict[str, Any]]]  #: token, from, to, Kite's interval → candles


class LiveFeatures:
    """Feature rows bar by bar.

    Parameters
    ----------
    instruments : those that are traded, and the indices that features look at
    interval : of the bars
    regime_model : the policy's
    wanted_hash : of the policy's feature catalogue; another one here is a FeatureMismatch
    news : columns symbol, time, sentiment, of the past and, where a market is replayed, of its future
    fetch : the broker's history
    began_at : market time from which ticks were seen; a bar that was open then is asked of `fetch` once it has closed
    actions : corporate actions, ACTION_COLUMNS; each counts from when it was known
    outcomes : trades that ended before, of this account and of others
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        interval: Interval,
        regime_model: Mapping[str, Any],
        wanted_hash: str,
        news: pd.DataFrame,
        fetch: Fetch,
        began_at: datetime,
        actions: pd.DataFrame | None = None,
        outcomes: Sequence[Ended] = (),
    ):
        from pipelines.features.online import OnlineFeatures
        from pipelines.regimes.online import OnlineRegimes
        from pipelines.regimes.pulse import observed_instruments

        if interval not in KITE_WORDS:
            raise BadInput(f"Kite gives no candles of {interval}; trade on one of {', '.join(KITE_WORDS)}")
        self._instruments = {instrument.symbol: instrument for instrument in watched(instruments)}
        self._interval = interval
        self._features = OnlineFeatures(list(instruments), interval, actions)
        self._ended = list(outcomes)
        known = [{"symbol": i.symbol, "kind": i.kind, "has_volume": i.has_volume} for i in instruments]
        self._regimes = OnlineRegimes(regime_model, observed_instruments(known))
        self._hash = self._features.catalogue_hash
        if self._hash != wanted_hash:
            raise FeatureMismatch(
                f"the policy wants feature catalogue {wanted_hash}, this release builds {self._hash}; "
                "retrain with the present code or serve a newer policy"
            )
        self._news = news.sort_values("time", ignore_index=True)
        self._fetch, self._began_at = fetch, began_at
        self._known_until: datetime | None = None
        self._actions = empty("actions") if actions is None else actions
        self._adjusting = Adjusting({}, self._actions)
        self.last_close: datetime | None = None

    def warm_up(self, history: Mapping[str, pd.DataFrame]) -> list[FeatureRow]:
        """Take in all history but its last close in one stroke; the rows of the last close are returned.

        Parameters
        ----------
        history : by symbol a DataFrame of the bar columns and `adjustment`, sorted by time; may be empty
        """
        self._adjusting = Adjusting(history, self._actions)
        history = {symbol: frame for symbol, frame in history.items() if len(frame)}
        traded = [frame for symbol, frame in history.items() if self._instruments[symbol].tradable]
        if not traded:
            return []
        last = max(frame["close_time"].iloc[-1] for frame in traded)
        history = {symbol: frame[frame["close_time"] <= last] for symbol, frame in history.items()}
        history = {symbol: frame for symbol, frame in history.items() if len(frame)}
        before = {symbol: frame[frame["close_time"] < last] for symbol, frame in history.items()}
        before = {symbol: frame for symbol, frame in before.items() if len(frame)}
        if before:
            until = max(frame["close_time"].iloc[-1] for frame in before.values())
            news = self._news[self._news["time"] <= until]
            self._features.replay(before, news, self._take_ended())
            self._regimes.replay(before, news)
            self._known_until = until.to_pydatetime()
        return self._rows(_bars_at(last, history))

    def carry(self, bar: Bar) -> Bar:
        """A bar that goes on with the history, with its adjustment."""
        return self._adjusting.carry(bar)

    def learn(self, outcome: Outcome) -> None:
        """A trade has ended: the rows of the closes from its exit on know it."""
        self._ended.append(ended_from(outcome))

    def _take_ended(self) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended

    def update(self, closed: ClosedBars) -> list[FeatureRow]:
        """Rows of the instruments that traded in the bars just closed, with their adjustment, see `carry`.

        Bars that are known already give none. Those of a time that the feed did not bring whole are the broker's, and
        of the others those of instruments of which a packet was doubted.
        """
        if self.last_close is not None and closed.close_time <= self.last_close:
            return []
        if closed.open_time < self._began_at or not closed.complete:
            closed = self._completed(closed)
        elif closed.doubtful:
            closed = self._corrected(closed)
        return self._rows(closed) if closed.bars else []

    def _completed(self, closed: ClosedBars) -> ClosedBars:
        """The bars of a time that we did not see from its beginning, as the broker recorded them."""
        bars = {symbol: bar for symbol in self._instruments if (bar := self._recorded(symbol, closed)) is not None}
        return ClosedBars(closed.open_time, closed.close_time, bars)

    def _corrected(self, closed: ClosedBars) -> ClosedBars:
        """The same of instruments of which a packet was doubted; one that the broker cannot tell is left out."""
        bars = {symbol: bar for symbol, bar in closed.bars.items() if symbol not in closed.doubtful}
        for symbol in sorted(closed.doubtful & self._instruments.keys()):
            try:
                bar = self._recorded(symbol, closed)
            except TradeSageError as error:
                LOG.warning("a doubtful bar is left out", symbol=symbol, close=str(closed.close_time), why=str(error))
                continue
            if bar is not None:
                bars[symbol] = bar
        LOG.info("bars of the broker's history", symbols=sorted(closed.doubtful), close=str(closed.close_time))
        return ClosedBars(closed.open_time, closed.close_time, bars)

    def _recorded(self, symbol: str, closed: ClosedBars) -> Bar | None:
        """The bar as the broker recorded it, with its adjustment; None if nothing was traded in it."""
        first, last = closed.open_time, closed.close_time - timedelta(seconds=1)
        if self._interval is Interval.DAY:
            first = first.replace(hour=0, minute=0)
        candles = self._fetch(self._instruments[symbol].token, first, last, KITE_WORDS[self._interval])
        frame = _frame(symbol, candles, self._interval, closed.close_time)
        return self.carry(_bar(frame.iloc[-1])) if len(frame) else None

    def _rows(self, closed: ClosedBars) -> list[FeatureRow]:
        news = self._news_until(closed.close_time)
        online = self._features.update(closed.close_time, closed.bars, news, self._take_ended())
        regime = self._regimes.update(closed.close_time, closed.bars, news)
        self.last_close = closed.close_time
        return [
            FeatureRow(
                symbol=symbol,
                close_time=closed.close_time,
                close=closed.bars[symbol].close,
                tick_size=self._instruments[symbol].tick_size,
                lot_size=self._instruments[symbol].lot_size,
                catalogue_hash=self._hash,
                values=values | regime.values(),
            )
            for symbol, values in online.rows.items()
        ]

    def _news_until(self, close_time: datetime) -> list[News]:
        """News learnt since the last close: nothing later than the bar's close can reach its rows."""
        due = self._news[self._news["time"] <= close_time]
        if self._known_until is not None:
            due = due[due["time"] > self._known_until]
        self._known_until = close_time
        return [News(row.symbol, row.time.to_pydatetime(), float(row.sentiment)) for row in due.itertuples(index=False)]


def fetch_history(
    fetch: Fetch, instruments: Sequence[Instrument], interval: Interval, until: datetime
) -> dict[str, pd.DataFrame]:
    """Bars closed by `until`, in requests as long as the broker allows, back to where it knows nothing earlier.

    Parameters
    ----------
    fetch : function of token, from, to and Kite's interval to candles

    An instrument with little history is not refused: features that still warm up are NaN, on which no head has a view.
    """
    return {instrument.symbol: _history_of(fetch, instrument, interval, until) for instrument in watched(instruments)}


def watched(instruments: Sequence[Instrument]) -> list[Instrument]:
    """What bars are built of: what is traded, and the indices that features look at."""
    return [item for item in instruments if item.tradable or item.symbol in INDICES]


def known_outcomes(pinned: pd.DataFrame, of_account: Sequence[Outcome]) -> list[Ended]:
    """Ended trades that the pipeline's data hold and those of the account's journal, each once."""
    both = [*ended_in(pinned), *map(ended_from, of_account)]
    return sorted({(e.known_us, e.symbol, e.entered_us, e.side): e for e in both}.values())


def _history_of(fetch: Fetch, instrument: Instrument, interval: Interval, until: datetime) -> pd.DataFrame:
    word = KITE_WORDS[interval]
    days = history_windows_on(until.date())[word].days
    candles: list[dict[str, Any]] = []
    last = until
    for _ in range(MOST_REQUESTS):
        first = last - timedelta(days=days - 1)
        found = fetch(instrument.token, first, last, word)
        candles = found + candles
        if not found and last < until:
            break
        last = first - timedelta(seconds=1)
    return _frame(instrument.symbol, candles, interval, until)


def _frame(symbol: str, candles: list[dict[str, Any]], interval: Interval, until: datetime) -> pd.DataFrame:
    rows = []
    for candle in candles:
        times = _times_of(candle["date"], interval)
        if times is not None and times[1] <= until:
            prices = [float(candle[name]) for name in ("open", "high", "low", "close")]
            rows.append((symbol, *times, *prices, int(candle["volume"])))
    frame = pd.DataFrame(rows, columns=list(BAR_COLUMNS)).drop_duplicates("open_time")
    frame = frame.astype({"open_time": TIME_DTYPE, "close_time": TIME_DTYPE, "volume": "int64"})
    return frame.sort_values("open_time", ignore_index=True)


def _times_of(stamp: datetime, interval: Interval) -> tuple[datetime, datetime] | None:
    """Open and close of a candle: Kite stamps one with its open, a daily one with midnight."""
    opened = stamp.astimezone(IST)
    if interval is Interval.DAY:
        session = session_on(opened.date())
        return (session.open, session.close) if session else None
    return session_grid(interval)(opened)


def _bars_at(close_time: pd.Timestamp, history: Mapping[str, pd.DataFrame]) -> ClosedBars:
    bars = {}
    for symbol, frame in history.items():
        row = frame.iloc[-1]
        if row["close_time"] == close_time:
            bars[symbol] = _bar(row)
    opened = min(bar.open_time for bar in bars.values())
    return ClosedBars(opened, close_time.to_pydatetime(), bars)


def _bar(row: pd.Series) -> Bar:
    return Bar(
        row["symbol"],
        row["open_time"].to_pydatetime(),
        row["close_time"].to_pydatetime(),
        float(row["open"]),
        float(row["high"]),
        float(row["low"]),
        float(row["close"]),
        int(row["volume"]),
        float(row.get("adjustment", 1.0)),
    )
