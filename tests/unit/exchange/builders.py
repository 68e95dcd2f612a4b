"""Small recorded days, and a venue that plays them."""

import itertools
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from pipelines.domain.bars import BAR_COLUMNS, IST, TIME_DTYPE, Bar
from pipelines.domain.fills import FillModel
from pipelines.domain.instruments import INSTRUMENT_COLUMNS, Instrument, Kind
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from pipelines.paths import Paths
from pipelines.tables import write_table
from serving.exchange.book import OrderRequest, Validity
from serving.exchange.market import BarMarket, FrameKind, SessionDay, session_days
from serving.exchange.venue import Rules, Step, Venue
from tests.conftest import params_content

HISTORY_DAY, DAY, NEXT_DAY = date(2026, 10, 28), date(2026, 10, 29), date(2026, 10, 30)
ALPHA = Instrument("ALPHA", 408065, Kind.STOCK, Decimal("0.05"), 1, "IT", True)
BETA = Instrument("M&B", 738561, Kind.STOCK, Decimal("0.10"), 1, "OIL", True)


def a_stock(**changes) -> Instrument:
    fields = {name: getattr(ALPHA, name) for name in ALPHA.__dataclass_fields__}
    return Instrument(**(fields | changes))


def bars_of(
    symbol: str, day: date, prices: list[tuple[float, float, float, float]], volume: int = 40_000, minutes: int = 5
) -> list[Bar]:
    """Bars from 09:15 on, one for each (open, high, low, close)."""
    opens = [
        datetime(day.year, day.month, day.day, 9, 15, tzinfo=IST) + timedelta(minutes=minutes * k) for k in range(500)
    ]
    times = zip(opens, opens[1:], prices, strict=False)
    return [Bar(symbol, start, end, *price, volume) for start, end, price in times]


def whole_day(symbol: str, day: date, prices: list[tuple[float, float, float, float]]) -> list[Bar]:
    """A session of 75 bars: after the given ones the price stands still."""
    return bars_of(symbol, day, prices + [(prices[-1][3],) * 4] * (75 - len(prices)))


def flat_bars(symbol: str, day: date, level: float = 100.0, count: int = 75, volume: int = 40_000) -> list[Bar]:
    return bars_of(symbol, day, [(level,) * 4] * count, volume)


def random_bars(symbol: str, day: date, level: float, seed: int, tick: float = 0.05, count: int = 75) -> list[Bar]:
    rng = np.random.default_rng(seed)
    steps = np.round(level * (1 + np.cumsum(rng.normal(0, 0.001, count + 1))) / tick) * tick
    prices = []
    for open_, close in itertools.pairwise(steps):
        high, low = max(open_, close) + tick * rng.integers(0, 8), min(open_, close) - tick * rng.integers(0, 8)
        prices.append(tuple(round(float(price), 2) for price in (open_, high, low, close)))
    bars = bars_of(symbol, day, prices)
    return [
        Bar(b.symbol, b.open_time, b.close_time, b.open, b.high, b.low, b.close, int(rng.integers(2_000, 90_000)))
        for b in bars
    ]


def a_frame(bars: list[Bar]) -> pd.DataFrame:
    frame = pd.DataFrame([[getattr(bar, name) for name in BAR_COLUMNS] for bar in bars], columns=list(BAR_COLUMNS))
    return frame.astype({"open_time": TIME_DTYPE, "close_time": TIME_DTYPE, "volume": "int64"})


def days_of(*bars: list[Bar]) -> list[SessionDay]:
    by_symbol: dict[str, list[Bar]] = {}
    for bar in [bar for several in bars for bar in several]:
        by_symbol.setdefault(bar.symbol, []).append(bar)
    return session_days({symbol: a_frame(several) for symbol, several in by_symbol.items()})


def some_rules(**changes) -> Rules:
    fields = {"opening_cash_inr": Decimal(1_000_000), "fills": FillModel(0.0, 1.0)}
    return Rules(**(fields | changes))


def a_venue(
    *bars: list[Bar], instruments=(ALPHA, BETA), close: str = "100.00", ticks_per_bar: int = 4, seed: int = 3, **rules
) -> Venue:
    closes = {instrument.symbol: Decimal(close) for instrument in instruments}
    market = BarMarket(days_of(*bars), {i.symbol: i for i in instruments}, ticks_per_bar, seed)
    return Venue(instruments, market, closes, some_rules(**rules))


def a_request(**changes) -> OrderRequest:
    fields = {
        "instrument": ALPHA,
        "side": Side.BUY,
        "quantity": 10,
        "product": Product.MIS,
        "order_type": OrderType.MARKET,
        "validity": Validity.DAY,
        "market_protection": Decimal(-1),
    }
    return OrderRequest(**(fields | changes))


def play(venue: Venue, until: datetime | FrameKind | None = None) -> list[Step]:
    """Advance up to and with the first frame at or after a time, or of a kind; without either, to the end."""
    steps = []
    while venue.state != "finished":
        steps.append(venue.advance())
        frame = steps[-1].frame
        if until is not None and (frame.kind is until if isinstance(until, FrameKind) else frame.at >= until):
            break
    return steps


def at(hour: int, minute: int, day: date = DAY) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=IST)


def write_workspace(
    root: Path, history: list[list[Bar]], session: list[list[Bar]], instruments=(ALPHA, BETA), **overrides
) -> Paths:
    """A workspace as ingest and validate leave it: parameters, instruments, history, session bars."""
    paths = Paths(root)
    content = params_content({"exchange.ticks_per_bar": 4} | overrides)
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    rows = [[getattr(instrument, name) for name in INSTRUMENT_COLUMNS] for instrument in instruments]
    table = pd.DataFrame(rows, columns=list(INSTRUMENT_COLUMNS))
    write_table(
        table.assign(tick_size=table["tick_size"].astype(str), kind=table["kind"].astype(str)), paths.instruments
    )
    for folder, several in ((paths.validated_bars, history), (paths.session_bars, session)):
        by_symbol: dict[str, list[Bar]] = {}
        for bar in [bar for bars in several for bar in bars]:
            by_symbol.setdefault(bar.symbol, []).append(bar)
        for symbol, bars in by_symbol.items():
            write_table(a_frame(bars), folder / f"{symbol}.parquet")
    return paths
