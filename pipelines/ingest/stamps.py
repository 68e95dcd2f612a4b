"""Stamps of bars: many ways to write a time, one meaning (Asia/Kolkata, the bar's open)."""

import re
from dataclasses import dataclass, replace

import pandas as pd

from pipelines.domain.bars import IST, TIME_DTYPE
from pipelines.domain.errors import BadInput
from pipelines.ingest.dates import read_times, serial

_ZONE = re.compile(r"\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})$")
#: A time before or after is a slip of the pen; pandas' nanoseconds reach from 1677 to 2262
_EARLIEST, _LATEST = pd.Timestamp("1900-01-01", tz=IST), pd.Timestamp("2200-01-01", tz=IST)
_EPOCH = r"\d{10}(\.\d+)?|\d{13}(\.0+)?|\d{16}|\d{19}"
_SAMPLE = 300  # rows on which the way of writing is tried out


@dataclass(frozen=True)
class Stamps:
    times: pd.Series  #: TIME_DTYPE; NaT where the text is no time
    zone: str  #: in words, e.g. "no zone (taken as IST)"
    note: str = ""  #: what a person should know of how they were read


def read_stamps(
    values: pd.Series, file: str, source_row: pd.Series, zone: str | None = None, date_format: str | None = None
) -> Stamps:
    """Times from what a file holds: timestamps, times with a zone, epoch seconds (UTC) or finer, else see `dates.py`.

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
    text, note = values.astype("str").str.strip(), ""
    zones = _zones(text, file, source_row)
    if _mostly(text, _EPOCH):
        times, zone = _from_epoch(text), "epoch seconds, UTC"
    elif zones is not None:
        text = text.where(text.str.match(r"\d"), "")  # the parser breaks on texts that begin otherwise, such as -1
        found = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
        times, zone = found.dt.tz_convert(IST).astype(TIME_DTYPE), f"zone {zones}"
    else:
        try:
            found, note = read_times(text, serial(text))
        except ValueError as error:
            raise BadInput(f"{file}: {error}; write all dates in one way, such as 2024-01-31") from None
        times, zone = found.dt.tz_localize(IST).astype(TIME_DTYPE), "no zone, taken as IST"
    if times.isna().all():
        raise BadInput(
            f"{file}: column {values.name} holds no readable time, e.g. row {source_row.iloc[0]}: "
            f"{str(values.iloc[0])!r}; write times as 2024-01-31 or 2024-01-31 09:15:00+05:30"
        )
    return Stamps(times, zone, note)


def _as_told(values: pd.Series, file: str, source_row: pd.Series, zone: str | None, date_format: str | None) -> Stamps:
    if date_format is None:
        if pd.api.types.is_datetime64_any_dtype(values):
            times = values
        else:
            text = values.astype("str").str.strip()
            if _zones(text, file, source_row) is not None or _mostly(text, _EPOCH):
                return _read(values, file, source_row, None, None)  # they say their zone themselves
            try:
                times, _ = read_times(text, serial(text))
            except ValueError as error:
                raise BadInput(f"{file}: {error}; write all dates in one way, such as 2024-01-31") from None
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
    number = pd.to_numeric(text.where(text.str.fullmatch(_EPOCH)), errors="coerce")
    seconds = number.copy()
    for digits in (13, 16, 19):  # milliseconds, microseconds, nanoseconds
        seconds = seconds.where(number < 10 ** (digits - 1), number / 10 ** (digits - 10))
    return pd.to_datetime(seconds, unit="s", utc=True).dt.tz_convert(IST).astype(TIME_DTYPE)
