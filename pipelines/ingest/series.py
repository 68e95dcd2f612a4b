"""The bars of one instrument in one file, typed: times in Asia/Kolkata at the bar's open, prices as numbers."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.domain.market_calendar import hours_of_bars
from pipelines.ingest.bar_ends import at_their_open
from pipelines.ingest.names import kind_of
from pipelines.ingest.numbers import read_numbers
from pipelines.ingest.owners import by_owner
from pipelines.ingest.rejects import no_rejects, rejected_rows
from pipelines.ingest.shapes import Sheet
from pipelines.ingest.spellings import PRICES
from pipelines.ingest.stamps import read_stamps
from pipelines.ingest.volumes import checked_volumes

DAY_MINUTES = 24 * 60
#: NSE opened in 1994, and NIFTY 50 is calculated back to July 1990: an earlier bar has a wrong time
_EARLIEST = pd.Timestamp("1990-01-01", tz=IST)
_SPACING_SAMPLE = 20_000
#: A series opens near the close before: over a hundred bars the median of that step was at most half of the step from
#: one open to the next close in every recorded file; twice of it where the two columns are swapped
_FEW_STEPS, _SWAPPED = 100, 1.3
#: NSE traded on a weekend 29 times in 25 years; where Mondays stand on Sundays it is one day in five
_FEW_DAYS, _WEEKENDS = 10, 0.1


@dataclass(frozen=True)
class Series:
    """One instrument as one file tells it; rows that no bar can be made of are in `rejected`."""

    symbol: str
    file: str
    minutes: int  #: spacing of its bars; DAY_MINUTES for daily ones
    frame: pd.DataFrame  #: open_time, open, high, low, close, volume, source, source_row; in the file's order
    has_volume: bool
    rejected: pd.DataFrame  #: REJECTED_COLUMNS
    rows_read: int
    notes: tuple[str, ...] = field(default=())


def series_of(sheet: Sheet, now: datetime | None = None) -> list[Series]:
    """The instruments of a sheet, see `owners.py`.

    Parameters
    ----------
    now : bars that close later are set aside; None: nobody asks

    Raises
    ------
    BadInput : if nothing says whose bars they are, or name and column contradict each other; if times cannot be read,
        mix zones or stand on weekends, open and close look swapped, or bars are neither daily nor evenly spaced.
    """
    columns = sheet.columns
    zone, date_format = (sheet.told.zone or None, sheet.told.date_format or None) if sheet.told else (None, None)
    stamp = columns["stamp"].rename(sheet.stamp_header)
    stamps = read_stamps(stamp, sheet.file, sheet.source_row, zone, date_format)
    numbers = read_numbers(columns, sheet.file, sheet.volume_unit)
    times = stamps.times.where(stamps.times >= _EARLIEST).rename("open_time")
    frame = pd.concat([times, numbers.values], axis=1)
    frame["source"] = sheet.file
    frame["source_row"] = sheet.source_row
    notes = [f"{sheet.file}: epoch seconds read as UTC"] if stamps.zone.startswith("epoch") else []
    notes += [f"{sheet.file}: {stamps.note}"] if stamps.note else []
    notes += numbers.notes
    if "volume" not in columns:
        notes.append(f"{sheet.file} has no column of volume: read as without volume")
    frame, foreign = _normal_market(frame, columns, sheet.file)
    notes += foreign
    if not len(frame):
        return []
    owners = by_owner(sheet, frame)
    notes += owners.notes
    return [_one(sheet, symbol, part, numbers.problem, notes, now) for symbol, part in owners.parts]


def _one(
    sheet: Sheet, symbol: str, frame: pd.DataFrame, unreadable: pd.Series, notes: list[str], now: datetime | None
) -> Series:
    unreadable = unreadable.loc[frame.index]
    timeless = frame["open_time"].isna()
    rejected = [
        _reject(sheet, symbol, "unreadable_time", _no_times(sheet, frame.index[timeless])),
        _reject(sheet, symbol, "unreadable_number", unreadable[~timeless & (unreadable != "")]),
    ]
    sound = frame[~timeless & (unreadable == "")]
    if not len(sound):
        first = rejected[0] if len(rejected[0]) else rejected[1]
        raise BadInput(
            f"{sheet.file}: no row can be read, e.g. row {first['source_row'].iloc[0]}: {first['reason'].iloc[0]}"
        )
    sound, said = _oldest_first(sound.reset_index(drop=True), sheet.file)
    _refuse_swapped(sound, sheet.file)
    _refuse_weekends(sound["open_time"], sheet.file)
    minutes = spacing(sound["open_time"], sheet.file)
    if minutes == DAY_MINUTES:
        sound["open_time"] = sound["open_time"].dt.normalize()
    else:
        placed = at_their_open(sound["open_time"], minutes, sheet.told.stamp if sheet.told else "auto")
        sound["open_time"] = placed.times
        said += [f"{sheet.file}: {placed.note}"] if placed.note else []
    if kind_of(symbol) is Kind.STOCK and len(sound) >= _FEW_STEPS and not (sound[list(PRICES)] % 1).any(axis=None):
        said.append(f"{sheet.file}: all prices are whole numbers: look whether they are in paise, or rounded")
    if "volume" in sheet.columns and kind_of(symbol) is Kind.STOCK:
        sound["volume"], odd = checked_volumes(sound, symbol, sheet.file, daily=minutes == DAY_MINUTES)
        said += odd
    has_volume = "volume" in sheet.columns and bool((sound["volume"] > 0).any())
    sound["volume"] = sound["volume"].round().astype("int64")
    if now is not None:
        sound, ahead = _known_by(now, sheet, symbol, sound, minutes)
        rejected.append(ahead)
    gone = [table for table in rejected if len(table)]
    return Series(
        symbol=symbol,
        file=sheet.file,
        minutes=minutes,
        frame=sound,
        has_volume=has_volume,
        rejected=pd.concat(gone, ignore_index=True) if gone else no_rejects(),
        rows_read=len(frame),
        notes=(*notes, *said),
    )


def _known_by(
    now: datetime, sheet: Sheet, symbol: str, rows: pd.DataFrame, minutes: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bars that had closed, and those that had not, to be set aside.

    Raises
    ------
    BadInput : if none had.
    """
    times = rows["open_time"]
    if minutes == DAY_MINUTES:
        days, today = times.dt.date, now.astimezone(IST).date()
        open_yet = now < hours_of_bars(today)[2]
        ahead = (days > today) | ((days == today) & open_yet)
    else:
        ahead = times + pd.Timedelta(minutes=minutes) > now
    if ahead.all():
        raise BadInput(
            f"{sheet.file}: all its bars close after now, {now:%Y-%m-%d %H:%M}, the first on {times.min():%Y-%m-%d}; "
            "correct its dates, or the clock"
        )
    if not ahead.any():
        return rows, no_rejects()
    gone = sheet.source_row[sheet.source_row.isin(rows.loc[ahead, "source_row"])].index
    reasons = pd.Series("the bar closes after now", index=gone)
    return rows[~ahead].reset_index(drop=True), _reject(sheet, symbol, "from_the_future", reasons)


def _refuse_swapped(rows: pd.DataFrame, file: str) -> None:
    ordered = rows.sort_values("open_time", kind="stable")
    onward = (ordered["open"] - ordered["close"].shift()).abs().median()
    back = (ordered["close"] - ordered["open"].shift()).abs().median()
    if len(rows) > _FEW_STEPS and onward > _SWAPPED * back:
        raise BadInput(
            f"{file}: bars close where the ones before opened, but do not open where those closed: open and "
            "close look swapped; correct the header or name the columns in ingest.columns"
        )


def _refuse_weekends(times: pd.Series, file: str) -> None:
    days = pd.DatetimeIndex(times.dt.normalize().unique())
    free = days[days.dayofweek >= 5]
    rarest = min((days.dayofweek == day).sum() for day in range(5))  # moved onto the weekend, it hardly comes any more
    if len(days) >= _FEW_DAYS and len(free) > max(_WEEKENDS * len(days), 4 * rarest):
        raise BadInput(
            f"{file}: {len(free)} of its {len(days)} days lie on weekends, e.g. {free[0]:%Y-%m-%d}: the days look "
            "shifted, as those of another zone are; set ingest.columns.zone or mend the stamps"
        )


def spacing(times: pd.Series, file: str) -> int:
    """Minutes between bars: the commonest step within a day, DAY_MINUTES if days hold one stamp each.

    Raises
    ------
    BadInput : if daily stamps lie a week or more apart, or the step is no whole number of minutes below a day.
    """
    stamps = pd.DatetimeIndex(times.iloc[:_SPACING_SAMPLE].drop_duplicates().sort_values())
    days = stamps.normalize()
    if len(stamps) <= 1.05 * days.nunique():
        step = np.median(np.diff(days.unique().asi8)) / 86_400e6 if days.nunique() > 1 else 1
        if step > 4:
            raise BadInput(f"{file} holds bars of about {step:.0f} days; daily or finer bars are wanted")
        return DAY_MINUTES
    within = np.diff(stamps.asi8)[np.diff(days.asi8) == 0]
    steps, counts = np.unique(within, return_counts=True)
    step = steps[counts.argmax()] / 60e6
    if step < 1 or step != int(step):
        raise BadInput(
            f"{file} has a row every {step * 60:g} seconds: ticks or unsorted stamps; bars of whole minutes are wanted"
        )
    return int(step)


def _normal_market(frame: pd.DataFrame, columns: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[str]]:
    """Rows of the series EQ; block deals, odd lots and the like are other markets."""
    if "series" not in columns:
        return frame, []
    other = columns["series"].astype("str").str.strip().str.upper() != "EQ"
    if not other.any():
        return frame, []
    kinds = ", ".join(sorted(map(str, columns.loc[other, "series"].astype("str").str.strip().fillna("none").unique())))
    return frame[~other], [f"{file}: {int(other.sum())} rows of other trading series ({kinds}) are left out"]


def _oldest_first(frame: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[str]]:
    times = frame["open_time"]
    if len(frame) > 1 and times.is_monotonic_decreasing and times.iloc[0] > times.iloc[-1]:
        return frame.iloc[::-1].reset_index(drop=True), [f"{file} is newest first: turned round"]
    return frame, []


def _no_times(sheet: Sheet, index: pd.Index) -> pd.Series:
    return f"{sheet.stamp_header} is no time: " + sheet.columns["stamp"].loc[index].astype("str")


def _reject(sheet: Sheet, symbol: str, rule: str, reasons: pd.Series) -> pd.DataFrame:
    """The rows that `reasons` are about, by its index."""
    rows, numbers = sheet.rows.loc[reasons.index], sheet.source_row.loc[reasons.index]
    return rejected_rows(rows, symbol, rule, reasons.tolist(), [sheet.file] * len(rows), numbers.tolist())
