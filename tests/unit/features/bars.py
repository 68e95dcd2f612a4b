"""Random-walk markets for tests: gaps overnight, missing bars, flat stretches, news."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from pipelines.domain.bars import BAR_COLUMNS, TIME_DTYPE, Bar, Interval
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.market_calendar import regular_bars
from pipelines.domain.news import News
from pipelines.ingest.kinds import empty

SYMBOLS = ("INFY", "RELIANCE", "TCS")
SECTORS = {"INFY": "IT", "TCS": "IT", "RELIANCE": "Energy"}
INDICES = {"NIFTY 50": 24_000.0, "NIFTY BANK": 52_000.0, "INDIA VIX": 14.0}


def random_bars(
    symbol: str = "TCS",
    bars: int = 200,
    seed: int = 0,
    interval: Interval = Interval.MIN_5,
    missing: float = 0.0,
    flat: float = 0.0,
    start_price: float = 1500.0,
) -> pd.DataFrame:
    """Bars on a tick of 0.05 from a Monday on; a share `missing` of them never traded, a share `flat` did not move."""
    random = np.random.default_rng([seed, *symbol.encode()])
    opens, closes = _bar_times(bars, interval)
    steps = random.standard_t(4, bars) * 0.002 * np.where(random.random(bars) < flat, 0.0, 1.0)
    new_day = np.r_[False, opens[1:].date != opens[:-1].date] if interval.intraday else np.ones(bars, dtype=bool)
    gaps = np.where(new_day, random.normal(0, 0.01, bars), 0.0)
    close = start_price * np.exp(np.cumsum(steps + gaps))
    open_ = np.r_[start_price, close[:-1]] * np.exp(gaps)
    wide = np.where(steps == 0.0, 0.0, 0.002)
    high = np.maximum(open_, close) * (1 + random.random(bars) * wide)
    low = np.minimum(open_, close) * (1 - random.random(bars) * wide)
    frame = pd.DataFrame({"symbol": symbol, "open_time": opens, "close_time": closes})
    for name, values in zip(("open", "high", "low", "close"), (open_, high, low, close), strict=True):
        frame[name] = np.maximum(np.round(values / 0.05) * 0.05, 0.05)
    frame["volume"] = random.integers(0, 50_000, bars)
    frame[["open_time", "close_time"]] = frame[["open_time", "close_time"]].astype(TIME_DTYPE)
    kept = np.r_[True, random.random(bars - 1) >= missing]
    return frame.loc[kept, list(BAR_COLUMNS)].reset_index(drop=True)


def _bar_times(bars: int, interval: Interval) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    first_day = date(2026, 1, 5)
    bars_a_day = regular_bars(first_day, interval)
    days = pd.bdate_range(first_day, periods=bars // bars_a_day + 2)
    opens: list[datetime] = []
    closes: list[datetime] = []
    for day in days:
        first, last = day + timedelta(hours=9, minutes=15), day + timedelta(hours=15, minutes=30)
        for i in range(bars_a_day):
            opens.append(first + timedelta(minutes=i * interval.minutes))
            closes.append(min(opens[-1] + timedelta(minutes=interval.minutes), last))
    zone = "Asia/Kolkata"
    return pd.DatetimeIndex(opens[:bars]).tz_localize(zone), pd.DatetimeIndex(closes[:bars]).tz_localize(zone)


def random_market(bars: int = 200, seed: int = 0, symbols: tuple[str, ...] = SYMBOLS, **how) -> dict[str, pd.DataFrame]:
    return {symbol: random_bars(symbol, bars, seed, **how) for symbol in symbols}


def split_market(market: dict[str, pd.DataFrame], symbol: str, ratio: int, share: float = 0.5) -> dict:
    """The market with a split of one stock at the first day after `share` of its bars, told by `adjustment`."""
    frame = market[symbol]
    days = frame["open_time"].dt.normalize()
    after = (days > days.iloc[int(len(frame) * share)]).to_numpy()
    prices = ["open", "high", "low", "close"]
    split = frame.assign(adjustment=np.where(after, float(ratio), 1.0))
    split.loc[after, prices] /= ratio
    split.loc[after, "volume"] *= ratio
    return market | {symbol: split}


def random_indices(bars: int = 200, seed: int = 0, **how) -> dict[str, pd.DataFrame]:
    """Bars of the indices that are context."""
    return {name: random_bars(name, bars, seed, start_price=price, **how) for name, price in INDICES.items()}


def random_outcomes(market: dict[str, pd.DataFrame], count: int, seed: int) -> pd.DataFrame:
    """Closed trades at any time between the first and the last close."""
    random = np.random.default_rng(seed)
    times = random_news(market, 2 * count, seed)["time"].sort_values(ignore_index=True)
    entered, exited = times[::2].reset_index(drop=True), times[1::2].reset_index(drop=True)
    frame = empty("outcomes").reindex(range(count))
    frame["symbol"] = random.choice(sorted(market), count)
    frame["side"] = random.choice(["BUY", "SELL"], count)
    frame["regime"] = random.choice(["bull", "bear", "range", "high_volatility", "unknown"], count)
    frame["entered_at"], frame["exited_at"] = entered, exited
    frame["quantity"], frame["entry_price"] = random.integers(1, 100, count), random.uniform(100, 2000, count)
    frame["net_inr"] = random.normal(0, 500, count)
    return frame


def random_actions(market: dict[str, pd.DataFrame], count: int, seed: int) -> pd.DataFrame:
    """Dividends with ex-dates in the history and after it, announced some days before; of one nobody noted when."""
    random = np.random.default_rng(seed)
    known = random_news(market, count, seed)["time"].reset_index(drop=True)
    ahead = pd.to_timedelta(random.integers(0, 40, count), unit="D")
    frame = pd.DataFrame({"symbol": random.choice(sorted(market), count), "known_at": known})
    frame["ex_date"] = (known.dt.normalize() + ahead).astype(TIME_DTYPE)
    frame.loc[0, "known_at"] = pd.NaT
    return frame


def instruments(symbols: tuple[str, ...] = SYMBOLS, has_volume: bool = True) -> list[Instrument]:
    stocks = [
        Instrument(symbol, 256 * (i + 1) + 1, Kind.STOCK, Decimal("0.05"), 1, SECTORS.get(symbol, ""), has_volume)
        for i, symbol in enumerate(symbols)
    ]
    return [
        *stocks,
        Instrument("NIFTY 50", 256265, Kind.INDEX, Decimal("0.05"), 1, "", False),
        Instrument("NIFTY BANK", 260105, Kind.INDEX, Decimal("0.05"), 1, "", False),
        Instrument("INDIA VIX", 264969, Kind.INDEX, Decimal("0.05"), 1, "", False),
    ]


def instrument_table(of: list[Instrument]) -> pd.DataFrame:
    rows = [(i.symbol, i.kind.value, i.has_volume, i.sector) for i in of]
    return pd.DataFrame(rows, columns=["symbol", "kind", "has_volume", "sector"])


def no_news() -> pd.DataFrame:
    return news_table([])


def news_table(items: list[tuple[str, datetime, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(items, columns=["symbol", "time", "sentiment"])
    frame["time"] = pd.to_datetime(frame["time"], utc=True).astype(TIME_DTYPE)
    return frame.astype({"sentiment": float})


def random_news(market: dict[str, pd.DataFrame], items: int, seed: int) -> pd.DataFrame:
    """Items at any time between the first and the last close, at night too."""
    random = np.random.default_rng(seed)
    first = min(frame["open_time"].iloc[0] for frame in market.values())
    last = max(frame["close_time"].iloc[-1] for frame in market.values())
    times = [first + timedelta(seconds=float(s)) for s in random.uniform(0, (last - first).total_seconds(), items)]
    symbols = random.choice(sorted(market), items)
    return news_table(
        [(str(s), t, float(v)) for s, t, v in zip(symbols, times, random.uniform(-1, 1, items), strict=True)]
    )


def closes_in_order(market: dict[str, pd.DataFrame]) -> list[tuple[datetime, dict[str, Bar]]]:
    """The market as the executor sees it: at each close the bars that close there."""
    found: dict[datetime, dict[str, Bar]] = {}
    for symbol, frame in market.items():
        for row in frame.itertuples(index=False):
            close_time = row.close_time.to_pydatetime()
            bar = Bar(
                symbol,
                row.open_time.to_pydatetime(),
                close_time,
                row.open,
                row.high,
                row.low,
                row.close,
                int(row.volume),
                float(getattr(row, "adjustment", 1.0)),
            )
            found.setdefault(close_time, {})[symbol] = bar
    return sorted(found.items())


def news_items(table: pd.DataFrame) -> list[News]:
    return [News(row.symbol, row.time.to_pydatetime(), row.sentiment) for row in table.itertuples(index=False)]


@st.composite
def bar_histories(draw, min_bars: int = 90, max_bars: int = 190) -> dict[str, pd.DataFrame]:
    """Markets of three stocks with missing bars and flat stretches."""
    return random_market(
        bars=draw(st.integers(min_bars, max_bars)),
        seed=draw(st.integers(0, 10_000)),
        interval=draw(st.sampled_from([Interval.MIN_5, Interval.MIN_60, Interval.DAY])),
        missing=draw(st.sampled_from([0.0, 0.05, 0.3])),
        flat=draw(st.sampled_from([0.0, 0.2, 0.9, 1.0])),
    )
