"""Times as text without a zone, in the ways that exchanges, sites and spreadsheets write them.

| written | by |
|---|---|
| `2024-01-31`, `2024/1/31`, `2024.01.31`, `20240131` | Kite, Yahoo, MetaTrader, most programs |
| `31-Jan-2024`, `31-JAN-24`, `31 January 2024` | NSE, Excel |
| `31-01-2024`, `31/1/24`, `31.01.2024` | India, Excel, Europe |
| `01/31/2024`, `1/31/24`, `Jan 31, 2024` | US sites and Excel set to the US |
| `45322`, `45322.385` | Excel's own count of days |

Behind each may stand a clock: `09:15`, `9:15:00`, `09:15:00.000`, `9:15 AM`, `0915`, `91500`. A column is read in one
way.
"""

import re
from datetime import date

import numpy as np
import pandas as pd

from pipelines.domain.market_calendar import is_known, session_on

#: Once separators are one `-`; of ways that read a column alike well the first counts
_WAYS = ("%Y-%m-%d", "%Y%m%d", "%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%m-%d-%y", "%d-%b-%Y", "%d-%B-%Y", "%d-%b-%y",
         "%b-%d-%Y", "%B-%d-%Y")  # fmt: skip
_MONTH_FIRST = ("%m-%d-%Y", "%m-%d-%y")
_OTHER_ORDER = {"%d-%m-%Y": "%m-%d-%Y", "%m-%d-%Y": "%d-%m-%Y", "%d-%m-%y": "%m-%d-%y", "%m-%d-%y": "%d-%m-%y"}
_DATE = (
    r"\d{8}|\d{1,4}[-/. ]\d{1,2}[-/. ]\d{1,4}|\d{1,2}[-/ ]?[A-Za-z]{3,9}[-/ ,]{0,2}\d{2,4}|"
    r"[A-Za-z]{3,9}[- ]\d{1,2},?[- ]\d{4}"
)
_CLOCK = r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\.?)?|\d{3,6}"
_WEEKDAY = r"(?:[A-Za-z]{3}|[A-Za-z]{3,6}day),? "
_SHAPE = rf"^(?:{_WEEKDAY})?(?P<date>{_DATE})(?:[T,]? *(?:00:00:00 )?(?P<clock>{_CLOCK}))?(?: ?IST)?$"
_ISO, _ISO_DAY = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", 10  #: most files; read at once
_SERIAL = r"[2-7]\d{4}(\.\d+)?"
_EXCEL_DAY_ZERO = pd.Timestamp("1899-12-30")
_NEARLY = 0.99  #: of the dates that the best way reads, another way reads it as well
_MIXED = 0.05  #: share of the dates that only the other order of day and month reads, beyond which none is believed
_SAMPLE = 2_000


def read_times(text: pd.Series, mostly_serial: bool = False) -> tuple[pd.Series, str]:
    """Naive times, NaT where the text is none, and what a person should know of the way they were read (or nothing).

    Parameters
    ----------
    text : Series of str, without blanks around
    mostly_serial : whether numbers of five digits are Excel's days

    Raises
    ------
    ValueError : if some dates have the day first and some the month.
    """
    if mostly_serial:
        days = pd.to_numeric(text.where(text.str.fullmatch(_SERIAL)), errors="coerce")
        times = _EXCEL_DAY_ZERO + pd.to_timedelta((days * 86_400).round(), unit="s")
        return times, "times are read as Excel counts days"
    if text.head(_SAMPLE).str.fullmatch(_ISO).mean() > 0.5:
        return pd.to_datetime(text.where(text.str.len() >= _ISO_DAY), format="ISO8601", errors="coerce"), ""
    parts = text.str.extract(_SHAPE)
    codes, dates = pd.factorize(parts["date"])
    plain = pd.Series(dates, dtype="str").str.replace(r"[-/. ,]+", "-", regex=True)
    plain = plain.str.replace(r"^(\d{1,2})([A-Za-z]{3,9})-?(\d{2,4})$", r"\1-\2-\3", regex=True)
    days, note = _days(plain)
    found = pd.Series(np.append(days.to_numpy(dtype="datetime64[us]"), np.datetime64("NaT"))[codes], index=text.index)
    return found + _clocks(parts["clock"]), note


def serial(text: pd.Series) -> bool:
    """Whether a column holds Excel's days."""
    return bool(text.head(_SAMPLE).str.fullmatch(_SERIAL).mean() > 0.5)


def _days(dates: pd.Series) -> tuple[pd.Series, str]:
    """Each date by the way that reads most of them; of ways that read them alike, the one that meets more sessions."""
    sample = dates.iloc[:: max(1, len(dates) // _SAMPLE)]
    read = {way: pd.to_datetime(sample, format=way, errors="coerce") for way in _WAYS}
    counts = {way: int(times.notna().sum()) for way, times in read.items()}
    most = max(counts.values(), default=0)
    if not most:
        return pd.Series(pd.NaT, index=dates.index), ""
    good = [way for way in _WAYS if counts[way] >= _NEARLY * most]
    way = max(good, key=lambda one: (_on_sessions(read[one]), -_span(read[one]), -_WAYS.index(one)))
    other = read.get(_OTHER_ORDER.get(way, ""))
    if other is not None and (only := other.notna() & read[way].isna()).mean() > _MIXED:
        raise ValueError(f"days and months change places: {sample[only].iloc[0]} beside {sample[~only].iloc[0]}")
    note = ""
    if way in _MONTH_FIRST:
        note = f"dates are read with the month first, e.g. {sample.iloc[0]} as {read[way].iloc[0]:%d %b %Y}"
    return pd.to_datetime(dates, format=way, errors="coerce"), note


def _on_sessions(times: pd.Series) -> float:
    days = [moment.date() for moment in times.dropna()]
    return round(sum(map(_may_trade, days)) / len(days), 2)


def _may_trade(day: date) -> bool:
    return session_on(day) is not None if is_known(day) else day.weekday() < 5


def _span(times: pd.Series) -> float:
    return float((times.max() - times.min()).days)


def _clocks(text: pd.Series) -> pd.Series:
    """Time of the day; zero where none is told, NaT where it is none."""
    codes, clocks = pd.factorize(text)
    found = [_clock(clock) for clock in clocks]
    return pd.Series(pd.to_timedelta(np.array([*found, 0.0])[codes], unit="s"), index=text.index)


def _clock(text: str) -> float:
    """Seconds since midnight, NaN if it is no clock."""
    digits = re.fullmatch(r"(\d{1,2})(\d{2})(\d{2})?", text)
    if digits:
        hour, minute, second, half = int(digits[1]), int(digits[2]), float(digits[3] or 0), ""
    else:
        match = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?(?: ?([AaPp])\.?[Mm]\.?)?", text)
        assert match is not None
        hour, minute, second, half = int(match[1]), int(match[2]), float(match[3] or 0), (match[4] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return float("nan")
        hour = hour % 12 + (12 if half == "p" else 0)
    return hour * 3600 + minute * 60 + second if hour < 24 and minute < 60 and second < 60 else float("nan")
