"""A bar is open, high, low, close and volume of one instrument over one interval.

It is stamped with its open time (Asia/Kolkata) and may be used only from its close time on. In tables the two times are
`datetime64[us, Asia/Kolkata]`, prices float64 rupees, volume int64 shares; one Parquet file per instrument, sorted by
`open_time`. The close of the last bar of a session is the session's end.

Prices are those that were traded. Validated bars have an `adjustment` beside them, see `corporate_actions.py`: figures
that compare over time are prices times, and volumes over, their adjustment.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")
TIME_DTYPE = "datetime64[us, Asia/Kolkata]"
PRICE_COLUMNS = ("open", "high", "low", "close")
BAR_COLUMNS = ("symbol", "open_time", "close_time", "open", "high", "low", "close", "volume")
VALIDATED_COLUMNS = (*BAR_COLUMNS, "adjustment")  #: float64; 1.0 until a series meets its first split or bonus


class Interval(StrEnum):
    MIN_1 = "1min"
    MIN_5 = "5min"
    MIN_15 = "15min"
    MIN_60 = "60min"
    MIN_240 = "240min"
    DAY = "day"

    @property
    def minutes(self) -> int:
        """Length in minutes; of a day the calendar's, for how long its session is depends on the day."""
        return {"1min": 1, "5min": 5, "15min": 15, "60min": 60, "240min": 240, "day": 1440}[self.value]

    @property
    def intraday(self) -> bool:
        return self is not Interval.DAY


@dataclass(frozen=True, slots=True)
class Bar:
    symbol: str
    open_time: datetime
    close_time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    adjustment: float = 1.0  #: as that of the series it goes on, see `corporate_actions.py`
