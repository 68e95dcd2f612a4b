"""Reads a workspace: the session bars that are played, the history before them, the instruments."""

import csv
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.errors import NotFound
from pipelines.domain.fills import FillModel
from pipelines.domain.instruments import DERIVATIVE_COLUMNS, Instrument, Kind, OptionType, derivative_from_dump
from pipelines.params import Params
from pipelines.paths import Paths, table_of
from pipelines.tables import read_json, read_table
from serving.exchange.candles import Candles
from serving.exchange.hours import CalendarHours
from serving.exchange.market import BarMarket, SessionDay, rupees, session_days, to_paise
from serving.exchange.venue import Rules, Venue


@dataclass(frozen=True)
class Recording:
    """What a workspace holds for the exchange."""

    paths: Paths
    instruments: tuple[Instrument, ...]
    days: tuple[SessionDay, ...]
    previous_closes: dict[str, Decimal]
    interval: Interval

    def venue(self, rules: Rules, ticks_per_bar: int, seed: int, auction_gap_bps: float = 0.0) -> Venue:
        by_symbol = {instrument.symbol: instrument for instrument in self.instruments}
        market = BarMarket(self.days, by_symbol, ticks_per_bar, seed, auction_gap_bps)
        return Venue(self.instruments, market, self.previous_closes, rules)

    def candles(self) -> Candles:
        return Candles(lru_cache(maxsize=64)(self._bars_of), self.interval)

    def _bars_of(self, symbol: str) -> pd.DataFrame:
        parts = [table_of(folder, symbol) for folder in (self.paths.validated_bars, self.paths.session_bars)]
        found = [read_table(part) for part in parts if part.exists()]
        if not found:  # the synthesised index
            return read_table(next(iter(sorted(self.paths.session_bars.glob("*.parquet"))))).iloc[:0]
        return pd.concat(found, ignore_index=True).drop_duplicates("open_time").sort_values("open_time")


def read_recording(paths: Paths) -> Recording:
    """Read and check what the exchange plays.

    Raises
    ------
    NotFound : if instruments or session bars are missing.
    """
    instruments = read_instruments(paths)
    bars = {
        instrument.symbol: read_table(table_of(paths.session_bars, instrument.symbol))
        for instrument in instruments
        if table_of(paths.session_bars, instrument.symbol).exists()
    }
    if not any(len(frame) for frame in bars.values()):
        raise NotFound(
            f"{paths.session_bars} holds no bars to play; set ingest.session_days to at least 1 in params.yaml "
            "and run dvc repro"
        )
    return Recording(
        paths, instruments, tuple(session_days(bars)), _previous_closes(paths, bars), _interval(paths, bars)
    )


def read_instruments(paths: Paths) -> tuple[Instrument, ...]:
    """The instruments of the run; beside them futures and options of Kite's dump, `derivatives.csv`, if it is there."""
    listed = [_instrument_from(row) for row in read_table(paths.instruments).to_dict("records")]
    known = {instrument.symbol for instrument in listed}
    return (*listed, *(found for found in _derivatives(paths) if found.symbol not in known))


def _derivatives(paths: Paths) -> list[Instrument]:
    dump = paths.instruments.with_name("derivatives.csv")
    if not dump.exists():
        return []
    with dump.open(encoding="utf-8", newline="") as file:
        return [derivative_from_dump(row) for row in csv.DictReader(file)]


def _instrument_from(row: dict[str, Any]) -> Instrument:
    given = {name: row[name] for name in DERIVATIVE_COLUMNS if name in row and not pd.isna(row[name]) and row[name]}
    return Instrument(
        row["symbol"],
        int(row["token"]),
        Kind(row["kind"]),
        Decimal(row["tick_size"]),
        int(row["lot_size"]),
        row["sector"] or "",
        bool(row["has_volume"]),
        underlying=given.get("underlying", ""),
        expiry=pd.Timestamp(given["expiry"]).date() if "expiry" in given else None,
        strike=Decimal(str(given["strike"])) if "strike" in given else None,
        option_type=OptionType(given["option_type"]) if "option_type" in given else None,
    )


def rules_from(params: Params) -> Rules:
    costs = params.evaluation
    return Rules(
        opening_cash_inr=params.exchange.opening_cash_inr,
        fills=FillModel(costs.slippage_bps, costs.participation, costs.impact_bps),
        circuits=params.exchange.circuits,
        latency=timedelta(milliseconds=params.exchange.latency_ms),
        hours=CalendarHours(frozenset(params.exchange.stocks_without_derivatives), params.exchange.seed)
        if params.exchange.hours == "calendar"
        else None,
    )


def _previous_closes(paths: Paths, session: dict[str, pd.DataFrame]) -> dict[str, Decimal]:
    closes = {}
    for symbol in session:
        path = table_of(paths.validated_bars, symbol)
        if path.exists():
            history = read_table(path, ["close"])
            if len(history):
                closes[symbol] = rupees(to_paise(history["close"].iloc[-1]))
    return closes


def _interval(paths: Paths, session: dict[str, pd.DataFrame]) -> Interval:
    """As ingest pinned it; without a snapshot, from the length of the first bar."""
    if paths.snapshot.exists():
        return Interval(read_json(paths.snapshot)["interval"])
    frame = next(frame for frame in session.values() if len(frame))
    minutes = (frame["close_time"].iloc[0] - frame["open_time"].iloc[0]).total_seconds() / 60
    return next((interval for interval in Interval if interval.minutes == minutes), Interval.DAY)
