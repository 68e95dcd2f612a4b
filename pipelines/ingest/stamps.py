"""Stamps of bars: many ways to write a time, one meaning (Asia/Kolkata, the bar's open)."""

import re
from dataclasses import dataclass, replace

import pandas as pd

from pipelines.domain.bars import IST, TIME_DTYPE
from pipelines.domain.errors import BadInput

#: Ways to write a time besides ISO 8601; the day goes first, as in India.
_FORMATS = (
    "%d-%b-%Y",
    "%d %b %Y",
    "%d-%m-%Y",
    "%d/%m/%Y",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d-%b-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%Y%m%d %H:%M",
    "%Y%m%d %H:%M:%S",
)
_ZONE = re.compile(r"\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})$")
#: A time before or after is a slip of the pen; pandas' nanoseconds reach from 1677 to 2262
_EARLIEST, _LATEST = pd.Timestamp("1900-01-01", tz=IST), pd.Timestamp("2200-01-01", tz=IST)
_SAMPLE = 300  # rows on which the way of writing is tried out


@dataclass(frozen=True)
class Stamps:
    times: pd.Series  #: TIME_DTYPE; NaT where the text is no time
    zone: str  #: in words, e.g. "no zone (taken as IST)"


def read_stamps(
    values: pd.Series, file: str, source_row: pd.Series, zone: str | None = None, date_format: str | None = None
) -> Stamps:
    """Times from what a file holds: timestamps, ISO or Indian dates, yyyymmdd, epoch seconds or milliseconds (UTC).

    NaT where the text is no time, or one outside of 1900 to 2200.

    Parameters
    ----------
    zone : of times that say none, such as UTC; None: Asia/Kolkata. A moment that the zone's clocks skip or repeat
        cannot be read
    date_format : how times are written, in the letters of strptime; None: found out

    Raises
    ------
    BadInput : if the column mixes time zones, or no value at all is a time.
    """
    found = _read(values, file, source_row, zone, date_format)
    return replace(found, times=found.times.where(found.times.between(_EARLIEST, _LATEST)))


def _read(values: pd.Series, file: str, source_row: pd.Series, zone: str | None, date_format: str | None) -> Stamps:
    if zone is not None or date_format is not None:
        return _as_told(values, file, source_row, zone, date_format)
    if pd.api.types.is_datetime64_any_dtype(values):
        return _from_timestamps(values)
    text = values.astype("str").str.strip()
    text = text.where(text.str.match(r"\d"), "")  # the parser breaks on some texts that begin otherwise, such as -1
    zones = _zones(text, file, source_row)
    if _mostly(text, r"\d{10}|\d{13}"):
        times, zone = _from_epoch(text), "epoch seconds, UTC"
    elif zones is not None:
        found = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
        times, zone = found.dt.tz_convert(IST).astype(TIME_DTYPE), f"zone {zones}"
    else:
        found = pd.to_datetime(text, format=_format_of(text), errors="coerce")
        times, zone = found.dt.tz_localize(IST).astype(TIME_DTYPE), "no zone, taken as IST"
    if times.isna().all():
        raise BadInput(
            f"{file}: column {values.name} holds no readable time, e.g. row {source_row.iloc[0]}: "
            f"{str(values.iloc[0])!r}; write times as 2024-01-31 or 2024-01-31 09:15:00+05:30"
        )
    return Stamps(times, zone)


def _as_told(values: pd.Series, file: str, source_row: pd.Series, zone: str | None, date_format: str | None) -> Stamps:
    if date_format is None:
        if pd.api.types.is_datetime64_any_dtype(values):
            times = values
        else:
            text = values.astype("str").str.strip()
            if _zones(text, file, source_row) is not None or _mostly(text, r"\d{10}|\d{13}"):
                return _read(values, file, source_row, None, None)  # they say their zone themselves
            times = pd.to_datetime(text, format=_format_of(text), errors="coerce")
    else:
        times = pd.to_datetime(
            values.astype("str").str.strip(), format=date_format, errors="coerce", utc="%z" in date_format
        )
    if times.isna().all():
        raise BadInput(
            f"{file}: column {values.name} holds no time written as {date_format or 'known'}, e.g. row "
            f"{source_row.iloc[0]}: {str(values.iloc[0])!r}; correct the date format"
        )
    if times.dt.tz is None:
        times = times.dt.tz_localize(zone or IST, ambiguous="NaT", nonexistent="NaT")
    return Stamps(times.dt.tz_convert(IST).astype(TIME_DTYPE), f"zone {zone or 'as written'}")


def _from_timestamps(values: pd.Series) -> Stamps:
    if values.dt.tz is None:
        return Stamps(values.dt.tz_localize(IST).astype(TIME_DTYPE), "no zone, taken as IST")
    return Stamps(values.dt.tz_convert(IST).astype(TIME_DTYPE), f"zone {values.dt.tz}")


def _zones(text: pd.Series, file: str, source_row: pd.Series) -> str | None:
    """The one offset written behind the times, None if none is."""
    found = text.str.extract(_ZONE, expand=False).fillna("")
    found = found.where(found != "Z", "+00:00").str.replace(r"^([+-]\d{2})(\d{2})$", r"\1:\2", regex=True)
    with_clock = text.str.contains(r"\d{2}:\d{2}", regex=True)
    kinds = found[with_clock].drop_duplicates()
    if len(kinds) > 1:
        first, second = kinds.index[0], kinds.index[1]
        raise BadInput(
            f"{file}: mixed time zones: row {source_row[first]} is {text[first]!r}, row {source_row[second]} is "
            f"{text[second]!r}; write all times of a file in one zone"
        )
    return kinds.iloc[0] or None if len(kinds) else None


def _mostly(text: pd.Series, pattern: str) -> bool:
    return bool(text.head(_SAMPLE).str.fullmatch(pattern).mean() > 0.5)


def _from_epoch(text: pd.Series) -> pd.Series:
    number = pd.to_numeric(text.where(text.str.fullmatch(r"\d{10}|\d{13}")), errors="coerce")
    seconds = number.where(number < 1e11, number / 1000)
    return pd.to_datetime(seconds, unit="s", utc=True).dt.tz_convert(IST).astype(TIME_DTYPE)


def _format_of(text: pd.Series) -> str:
    """The one way of writing that reads most of the column; guessing row by row would swap days and months."""
    sample = text.iloc[:: max(1, len(text) // _SAMPLE)]
    counts = {way: pd.to_datetime(sample, format=way, errors="coerce").notna().sum() for way in (*_FORMATS, "ISO8601")}
    if counts["%Y%m%d"]:
        counts["ISO8601"] = 0  # ISO would read 20240131 too, but also less
    return max(counts, key=lambda way: counts[way])
