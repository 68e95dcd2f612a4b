"""Historical candles: the bars up to the market's clock, as recorded or gathered into longer ones.

The last one may still be growing, as at Kite.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from pipelines.domain.bars import IST, Interval
from pipelines.domain.history_windows import history_windows_on
from pipelines.domain.market_calendar import hours_of_bars
from serving.exchange.quotes import Forming
from serving.exchange.refusals import input_error

YEARS = range(1900, 2200)  #: that candles are asked for
_DAY = timedelta(days=1)
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d")


class Candles:
    """Candles of the instruments.

    Parameters
    ----------
    bars_of : function of a symbol to all its recorded bars, history and session, sorted by `open_time`
    interval : the interval they were recorded at; finer candles cannot be given
    """

    def __init__(self, bars_of: Callable[[str], pd.DataFrame], interval: Interval):
        self._bars_of = bars_of
        self._native = 0 if interval is Interval.DAY else interval.minutes

    def answer(
        self, symbol: str, word: str, first: str, last: str, clock: datetime, forming: Forming | None = None
    ) -> list[list[Any]]:
        """Candles opened within [first, last] and closed by `clock`, then the one that is forming, as Kite lists them.

        Raises
        ------
        KiteError : InputException for an unknown or too fine interval, unparsable dates or too long a span.
        """
        minutes = self._minutes(word, clock.date())
        since, until = parsed_time(first, "from"), parsed_time(last, "to")
        longest = history_windows_on(clock.date())[word].days
        if until < since:
            raise input_error("invalid from and to: from lies after to")
        if until - since > timedelta(days=longest):
            raise input_error(f"interval exceeds max limit: {longest} days")
        bars = self._bars_of(symbol)
        bars = _with_forming(bars[bars["close_time"] <= clock], forming, clock)
        bars = bars[(bars["open_time"] >= _midnight(since)) & (bars["open_time"] < _midnight(until) + _DAY)]
        if minutes != self._native:
            bars = _gathered(bars, minutes)
        stamps = bars["open_time"].dt.normalize() if minutes == 0 else bars["open_time"]
        bars = bars[(stamps >= since) & (stamps <= until)]
        return [_candle(row, daily=minutes == 0) for row in bars.itertuples(index=False)]

    def _minutes(self, word: str, day: date) -> int:
        windows = history_windows_on(day)
        if word not in windows:
            raise input_error("invalid interval")
        minutes = windows[word].minutes
        multiple = minutes == 0 or (self._native > 0 and minutes >= self._native and minutes % self._native == 0)
        if not multiple:
            native = f"{self._native} minutes" if self._native else "days"
            raise input_error(f"invalid interval: {word} candles cannot be made of bars of {native}")
        return minutes


def _with_forming(bars: pd.DataFrame, forming: Forming | None, clock: datetime) -> pd.DataFrame:
    """The closed bars and after them the one that grows; nothing of the recording's future is in it."""
    if forming is None or (len(bars) and bars["open_time"].iloc[-1] >= forming.open_time):
        return bars
    prices = {name: float(getattr(forming, name)) for name in ("open", "high", "low", "close")}
    row = {"open_time": forming.open_time, "close_time": clock, **prices, "volume": forming.volume}
    last = pd.DataFrame([row]).astype({name: bars[name].dtype for name in row})
    return pd.concat([bars[list(row)], last], ignore_index=True)


def parsed_time(text: str, name: str) -> datetime:
    for shape in _FORMATS:
        try:
            moment = datetime.strptime(text, shape).replace(tzinfo=IST)
        except ValueError:
            continue
        if moment.year in YEARS:
            return moment
    raise input_error(f"invalid {name} date")


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0)


def _gathered(bars: pd.DataFrame, minutes: int) -> pd.DataFrame:
    """Longer bars, counted from the open of each day's session; the last of a day may be short or still growing."""
    if bars.empty:
        return bars
    days = bars["open_time"].dt.normalize()
    place: Any = 0
    if minutes:
        first = bars.groupby(days)["open_time"].transform("min")
        opens = days.map({day: hours_of_bars(day.date())[0] for day in days.unique()}).astype(first.dtype)
        place = (bars["open_time"] - opens.where(opens < first, first)) // pd.Timedelta(minutes=minutes)
    rules = {"open_time": "first", "close_time": "last", "open": "first", "high": "max", "low": "min"}
    return bars.assign(day=days, place=place).groupby(["day", "place"]).agg(rules | {"close": "last", "volume": "sum"})


def _candle(row: Any, *, daily: bool) -> list[Any]:
    day: date = row.open_time.date()
    opened = f"{day:%Y-%m-%d}T00:00:00+0530" if daily else row.open_time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return [opened, float(row.open), float(row.high), float(row.low), float(row.close), int(row.volume)]
