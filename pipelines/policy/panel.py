"""The panel: every instrument's bars, features and regimes row by row, with the facts needed to trade them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST, TIME_DTYPE, VALIDATED_COLUMNS, Interval
from pipelines.domain.corporate_actions import actions_table, adjustments
from pipelines.domain.errors import BadInput, TooFewBars
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.market_calendar import session_on
from pipelines.domain.orders import Product
from pipelines.domain.session_grid import bar_numbers
from pipelines.paths import Paths, table_of
from pipelines.tables import read_json, read_table

REGIMES = ("bull", "bear", "range", "high_volatility")
REGIME_COLUMNS = tuple(f"regime_{name}" for name in REGIMES)
STATED_REGIME = "regime_stated"  #: its number in REGIMES
FLAGS = ("breakout", "news_driven", "crash_anomaly")
FLAG_COLUMNS = tuple(f"flag_{name}" for name in FLAGS)


@dataclass(frozen=True)
class Panel:
    """Bars and what was known at their close.

    `table` has one row a bar, sorted by symbol and open time: the validated columns, `session_end` (when trading ends
    that day, known before it begins), one float64 column a feature and what the regimes say, NaN while warming
    up.
    """

    table: pd.DataFrame
    instruments: Mapping[str, Instrument]
    interval: Interval
    catalogue: Mapping[str, Any]  #: as in catalogue.json
    actions: pd.DataFrame = field(default_factory=actions_table)  #: corporate actions, each with when it was known

    @property
    def product(self) -> Product:
        return Product.MIS if self.interval.intraday else Product.CNC

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(feature["name"] for feature in self.catalogue["features"])

    @cached_property
    def times(self) -> np.ndarray:
        """Every bar close of the panel, once, ascending; int64 microseconds since 1970 UTC."""
        return np.unique(self.closes)

    @cached_property
    def closes(self) -> np.ndarray:
        """Close time of each row; int64 microseconds since 1970 UTC."""
        return microseconds(self.table["close_time"])

    @cached_property
    def bar_numbers(self) -> np.ndarray:
        """Each row's place in the market's own count of bars, int64: bars without a trade count, see `session_grid`."""
        return bar_numbers(self.table["open_time"], self.interval)

    @cached_property
    def symbol_slices(self) -> dict[str, slice]:
        symbols = self.table["symbol"].to_numpy()
        if not len(symbols):
            return {}
        starts = np.flatnonzero(np.r_[True, symbols[1:] != symbols[:-1]])
        ends = np.r_[starts[1:], len(symbols)]
        return {str(symbols[a]): slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True)}

    def closed_by(self, time_us: int) -> "Panel":
        """The panel as it was known at a time: bars that had closed by then, and nothing else."""
        known = self.table[self.closes <= time_us].reset_index(drop=True)
        return replace(self, table=known)


def panel_from(
    bars: Mapping[str, pd.DataFrame],
    features: Mapping[str, pd.DataFrame],
    regimes: pd.DataFrame,
    instruments: Iterable[Instrument],
    interval: Interval,
    catalogue: Mapping[str, Any],
    actions: pd.DataFrame | None = None,
) -> Panel:
    """Join bars, features and regimes on instrument and close time; tradable instruments only.

    Parameters
    ----------
    bars, features : symbol to DataFrame
        As `02_validated/bars` (a recording without `adjustment` counts as never split) and `03_features`; a bar without
        a feature row gets NaN features.
    regimes : DataFrame
        As `04_regimes/regimes.parquet`.
    instruments, interval, catalogue
        What the bars are of, their interval, and the content of `catalogue.json`.
    actions : DataFrame
        As `01_raw/actions.parquet`.

    Raises
    ------
    TooFewBars : if no tradable instrument has bars.
    """
    tradable = {i.symbol: i for i in instruments if i.tradable and i.symbol in bars}
    if not tradable:
        raise TooFewBars(needed=1, received=0, what="tradable instruments with bars")
    names = [feature["name"] for feature in catalogue["features"]]
    parts = []
    for symbol in sorted(tradable):
        known = features[symbol][["close_time", *names]] if symbol in features else None
        whole = bars[symbol].assign(adjustment=adjustments(bars[symbol]))
        part = whole[list(VALIDATED_COLUMNS)].sort_values("open_time", ignore_index=True)
        parts.append(part.merge(known, on="close_time", how="left") if known is not None else part)
    table = pd.concat(parts, ignore_index=True)
    table = table.merge(_regime_columns(regimes), on="close_time", how="left")
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise BadInput(f"the feature tables lack {missing[:5]}; run the features stage again")
    table["session_end"] = session_ends(table["close_time"])
    return Panel(table.copy(), tradable, interval, catalogue, actions_table() if actions is None else actions)


def _regime_columns(regimes: pd.DataFrame) -> pd.DataFrame:
    """`close_time` and what a decision row carries of the regimes, by the names it has there."""
    named = dict(zip((*FLAGS, *REGIMES), (*FLAG_COLUMNS, *REGIME_COLUMNS), strict=True))
    numbers = regimes["regime"].map({name: float(i) for i, name in enumerate(REGIMES)}).astype("float64")
    table = regimes.rename(columns=named).assign(**{STATED_REGIME: numbers})
    return table[["close_time", *FLAG_COLUMNS, STATED_REGIME, *REGIME_COLUMNS]]


def session_ends(close_times: pd.Series) -> pd.Series:
    """When continuous trading ends on the day of each close: by the calendar, so that it is known before the day.

    Only days on which the calendar knows no session get the last close found in the data.
    """
    days = close_times.dt.date
    planned = {day: session.close for day in days.unique() if (session := session_on(day)) is not None}
    known = pd.to_datetime(days.map(planned), utc=True).dt.tz_convert(IST).astype(TIME_DTYPE)
    return known.fillna(close_times.groupby(days).transform("max"))


def read_panel(paths: Paths) -> Panel:
    """The panel of a workspace, from what validate, features and regimes wrote."""
    catalogue = read_json(paths.catalogue)
    instruments = [instrument_from(row) for row in read_table(paths.instruments).to_dict("records")]
    symbols = [i.symbol for i in instruments if i.tradable and table_of(paths.validated_bars, i.symbol).exists()]
    return panel_from(
        {symbol: read_table(table_of(paths.validated_bars, symbol)) for symbol in symbols},
        {symbol: read_table(table_of(paths.features, symbol)) for symbol in symbols},
        read_table(paths.regimes),
        instruments,
        Interval(catalogue["interval"]),
        catalogue,
        read_table(paths.raw_actions) if paths.raw_actions.exists() else None,
    )


def instrument_from(row: Mapping[Any, Any]) -> Instrument:
    """An instrument from its row of `instruments.parquet`."""
    return Instrument(
        symbol=str(row["symbol"]),
        token=int(row["token"]),
        kind=Kind(row["kind"]),
        tick_size=Decimal(str(row["tick_size"])),
        lot_size=int(row["lot_size"]),
        sector=str(row["sector"] or ""),
        has_volume=bool(row["has_volume"]),
    )


def microseconds(times: pd.Series) -> np.ndarray:
    """Times as int64 microseconds since 1970 UTC; NaT becomes the smallest int64."""
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
