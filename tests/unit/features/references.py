"""What the features should be, worked out another way: TA-Lib, pandas and plain loops over whole histories.

`talib_figures` and `pandas_figures` take bars off the grid of ticks (no ties) and give one array a feature; they share
no code with the features.
"""

import numpy as np
import pandas as pd


def talib_figures(bar: pd.DataFrame) -> dict[str, np.ndarray]:
    """The classical ones, by TA-Lib; sums of them in units of its ATR."""
    import talib

    high, low, close = (bar[name].to_numpy() for name in ("high", "low", "close"))
    open_, volume = bar["open"].to_numpy(), bar["volume"].to_numpy(np.float64)
    atr = talib.ATR(high, low, close, 14)
    macd, _, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    k, d = talib.STOCHF(high, low, close, 14, 3)
    plus, minus = talib.PLUS_DI(high, low, close, 14), talib.MINUS_DI(high, low, close, 14)
    ema = {span: talib.EMA(close, span) for span in (5, 12, 20, 50)}
    top, bottom = talib.MAX(high, 55), talib.MIN(low, 55)
    middle_of = {n: (talib.MAX(high, n) + talib.MIN(low, n)) / 2 for n in (9, 26)}
    median, returns = talib.MEDPRICE(high, low), np.r_[np.nan, np.diff(np.log(close))]
    money = talib.SMA(volume, 20)
    return {
        "rsi_7": talib.RSI(close, 7),
        "rsi_14": talib.RSI(close, 14),
        "rsi_28": talib.RSI(close, 28),
        "stochastic_rsi_14": talib.STOCHRSI(close, 14, 14, 1)[0],
        "atr_pct_14": talib.NATR(high, low, close, 14) / 100.0,
        "adx_14": talib.ADX(high, low, close, 14),
        "plus_di_14": plus,
        "minus_di_14": minus,
        "di_spread_14": (plus - minus) / 100.0,
        "macd_12_26": macd / atr,
        "macd_histogram_9": histogram / atr,
        "ema_gap_5_20": (ema[5] - ema[20]) / atr,
        "ema_gap_20_50": (ema[20] - ema[50]) / atr,
        "close_ema_20": (close - ema[20]) / atr,
        "close_ema_50": (close - ema[50]) / atr,
        "tema_gap_12": (close - talib.TEMA(close, 12)) / atr,
        "kama_gap_10": (close - talib.KAMA(close, 10)) / atr,
        "trix_15": talib.TRIX(close, 15),
        "aroon_25": talib.AROONOSC(high, low, 25),
        "ichimoku_9_26": (middle_of[9] - middle_of[26]) / atr,
        "slope_12": talib.LINEARREG_SLOPE(close, 12) / atr,
        "slope_24": talib.LINEARREG_SLOPE(close, 24) / atr,
        "line_gap_24": (close - talib.LINEARREG(close, 24)) / atr,
        "roc_12": talib.ROC(close, 12) / 100.0,
        "stochastic_k_14": k,
        "stochastic_d_3": d,
        "stochastic_k_55": 100.0 * (close - bottom) / (top - bottom),
        "cci_20": talib.CCI(high, low, close, 20),
        "ultimate_7_14_28": talib.ULTOSC(high, low, close, 7, 14, 28),
        "awesome_5_34": (talib.SMA(median, 5) - talib.SMA(median, 34)) / atr,
        "balance_of_power_14": talib.SMA(talib.BOP(open_, high, low, close), 14),
        "bollinger_width_20": (upper - lower) / middle,
        "squeeze_20": (upper - lower) / (3.0 * atr),
        "z_score_20": (close - middle) / ((upper - middle) / 2.0),
        "range_atr": (high - low) / atr,
        "mfi_14": talib.MFI(high, low, close, volume, 14),
        "chaikin_oscillator_3_10": talib.ADOSC(high, low, close, volume, 3, 10) / money,
        "relative_volume_20": volume / np.r_[np.nan, money[:-1]],
        "return_volume_correlation_20": talib.CORREL(np.nan_to_num(returns), volume, 20),
        "high_distance_55": (close - top) / atr,
        "low_distance_55": (close - bottom) / atr,
        "high_age_55": (np.arange(len(close)) - talib.MAXINDEX(high, 55)) / 54.0,
        "low_age_55": (np.arange(len(close)) - talib.MININDEX(low, 55)) / 54.0,
    }


def pandas_figures(bar: pd.DataFrame, market_return: pd.Series, breadth: pd.Series) -> dict[str, pd.Series]:
    """The others, by pandas and loops."""
    figures = _of_returns(bar) | _of_ranges(bar) | _of_volume(bar) | _of_channels(bar) | _of_sessions(bar)
    figures |= _of_patterns(bar) | _of_the_market(bar, market_return, breadth) | _of_news_and_calendar(bar)
    for time, minutes, span in (("quarter", 15, 14), ("hour", 60, 14), ("day", None, 5)):
        figures |= _of_longer_bars(bar, time, minutes, span)
    return figures


def _wilder(values: np.ndarray, span: int) -> np.ndarray:
    """Mean of the first `span` values, then 1/span of each new one; NaN before."""
    out = np.full(len(values), np.nan)
    if len(values) >= span:
        out[span - 1] = values[:span].mean()
        for i in range(span, len(values)):
            out[i] = out[i - 1] + (values[i] - out[i - 1]) / span
    return out


def _ema(values: np.ndarray, span: int) -> np.ndarray:
    out = np.full(len(values), np.nan)
    first = int(np.argmax(np.isfinite(values)))
    if len(values) - first >= span:
        out[first + span - 1] = values[first : first + span].mean()
        for i in range(first + span, len(values)):
            out[i] = out[i - 1] + (values[i] - out[i - 1]) * 2.0 / (span + 1.0)
    return out


def true_range(bar: pd.DataFrame) -> pd.Series:
    before = bar["close"].shift()
    return np.maximum(bar["high"], before) - np.minimum(bar["low"], before)


def atr_of(bar: pd.DataFrame, span: int = 14) -> pd.Series:
    return pd.Series(np.r_[np.nan, _wilder(true_range(bar).to_numpy()[1:], span)])


def _each(values: pd.Series, window: int, figure) -> pd.Series:
    return values.rolling(window).apply(figure, raw=True)


def _of_returns(bar: pd.DataFrame) -> dict[str, pd.Series]:
    close, logs = bar["close"], np.log(bar["close"])
    returns = logs.diff()
    spread, size, change = returns.rolling(24).std(), returns.abs(), close.diff()
    figures = {f"return_{n}": logs.diff(n) / (spread * np.sqrt(n)) for n in (1, 3, 6, 12, 24, 48, 72)}
    variance = {n: logs.diff(n).rolling(48).var(ddof=0) for n in (1, 2, 4, 8)}
    logs_of_spread = pd.DataFrame({np.log(n): 0.5 * np.log(value) for n, value in variance.items()})
    x = np.array(logs_of_spread.columns)
    smooth = np.full(len(bar), np.nan)
    smooth[0] = 0.0
    for i in range(1, len(bar)):
        smooth[i] = smooth[i - 1] + (returns[i] ** 2 - smooth[i - 1]) * max(1 / i, 0.06)
    moved = _ema(_ema(change.to_numpy(), 25), 13)
    drop = (close / close.rolling(20).max() - 1.0) ** 2
    in_spreads = returns / spread
    sizes = np.select([in_spreads < -1.5, in_spreads < -0.5, in_spreads <= 0.5, in_spreads <= 1.5], [0, 1, 2, 3], 4)
    orders = pd.Series(np.nan, index=bar.index)
    for i in range(2, len(bar)):
        rank = np.argsort(close[i - 2 : i + 1].to_numpy(), kind="stable")
        orders[i] = rank[0] * 9 + rank[1] * 3 + rank[2]
    return figures | {
        "acceleration_12": (logs.diff(12) - logs.diff(12).shift(12)) / (spread * np.sqrt(24)),
        "tsi_13_25": pd.Series(100.0 * moved / _ema(_ema(change.abs().to_numpy(), 25), 13)),
        "volatility_24": spread,
        "volatility_48": returns.rolling(48).std(),
        "volatility_ratio_12_48": returns.rolling(12).std() / returns.rolling(48).std(),
        "volatility_change_24": np.log(spread / spread.shift(24)),
        "ewma_volatility": pd.Series(np.sqrt(smooth)),
        "downside_share_24": (returns.clip(upper=0) ** 2).rolling(24).sum() / (returns**2).rolling(24).sum(),
        "jump_share_24": (
            1 - np.pi / 2 * (size * size.shift()).rolling(24).sum() / (returns**2).rolling(24).sum()
        ).clip(lower=0),
        "ulcer_20": np.sqrt(drop.rolling(20).mean()),
        "z_score_48": (close - close.rolling(48).mean()) / close.rolling(48).std(ddof=0),
        "trend_r2_24": close.rolling(24).corr(pd.Series(np.arange(float(len(bar))))) ** 2,
        "efficiency_24": close.diff(24).abs() / change.abs().rolling(24).sum(),
        "skew_24": _each(returns, 24, lambda x: ((x - x.mean()) ** 3).mean() / x.std() ** 3),
        "kurtosis_24": _each(returns, 24, lambda x: ((x - x.mean()) ** 4).mean() / x.std() ** 4 - 3.0),
        "rise_share_24": (returns > 0).astype(float).rolling(24).mean(),
        "autocorrelation_24": returns.rolling(23).corr(returns.shift()),
        "autocorrelation_2_48": returns.rolling(48).corr(returns.shift(2)),
        "autocorrelation_5_48": returns.rolling(48).corr(returns.shift(5)),
        "size_autocorrelation_48": size.rolling(48).corr(size.shift()),
        "variance_ratio_4_48": variance[4] / variance[1] / 4.0,
        "variance_ratio_8_48": variance[8] / variance[1] / 8.0,
        "hurst_48": (logs_of_spread * (x - x.mean())).sum(axis=1, skipna=False) / ((x - x.mean()) ** 2).sum(),
        "permutation_entropy_48": _each(orders, 48, lambda x: _entropy(x) / np.log(6)),
        "return_entropy_48": _each(pd.Series(sizes).where(spread.notna()), 48, lambda x: _entropy(x) / np.log(5)),
        "fourier_slow_32": _each(returns, 32, lambda x: _energy(x, 1, 2)),
        "fourier_middle_32": _each(returns, 32, lambda x: _energy(x, 3, 6)),
    }


def _entropy(kinds: np.ndarray) -> float:
    share = np.unique(kinds, return_counts=True)[1] / len(kinds)
    return float(-(share * np.log(share)).sum())


def _energy(values: np.ndarray, first: int, last: int) -> float:
    energy = np.abs(np.fft.fft(values - values.mean())) ** 2
    return float(2.0 * energy[first : last + 1].sum() / energy.sum())


def _of_ranges(bar: pd.DataFrame) -> dict[str, pd.Series]:
    open_, high, low, close = (np.log(bar[name]) for name in ("open", "high", "low", "close"))
    width, body, gap = high - low, close - open_, open_ - close.shift()
    satchell = (high - close) * (high - open_) + (low - close) * (low - open_)
    k = 0.34 / (1.34 + 21 / 19)
    rupees, true = bar["high"] - bar["low"], true_range(bar)
    up, down = (bar["high"] - bar["low"].shift()).abs(), (bar["low"] - bar["high"].shift()).abs()
    return {
        "parkinson_20": np.sqrt((width**2 / (4 * np.log(2))).rolling(20).mean()),
        "garman_klass_20": np.sqrt((0.5 * width**2 - (2 * np.log(2) - 1) * body**2).rolling(20).mean()),
        "rogers_satchell_20": np.sqrt(satchell.rolling(20).mean()),
        "yang_zhang_20": np.sqrt(
            gap.rolling(20).var() + k * body.rolling(20).var() + (1 - k) * satchell.rolling(20).mean()
        ),
        "gap_share_20": (gap**2).rolling(20).sum() / (gap**2 + body**2).rolling(20).sum(),
        "range_contraction_7": rupees / rupees.rolling(7).mean(),
        "vortex_14": (up - down).rolling(14).sum() / true.rolling(14).sum(),
    }


def _of_volume(bar: pd.DataFrame) -> dict[str, pd.Series]:
    close, volume = bar["close"], bar["volume"].astype(float)
    returns, atr = np.log(close).diff(), atr_of(bar)
    typical = (bar["high"] + bar["low"] + close) / 3
    place = (2 * close - bar["high"] - bar["low"]) / (bar["high"] - bar["low"])
    day, minute = bar["close_time"].dt.date, bar["close_time"].dt.time
    so_far = volume.groupby(day).cumsum()
    vwap = (typical * volume).groupby(day).cumsum() / so_far
    size, value = returns.abs(), close * volume
    force = _ema((close.diff() * volume).to_numpy(), 13) / _ema(np.r_[np.nan, volume[1:]], 13)
    return {
        "volume_z_20": (volume - volume.rolling(20).mean()) / volume.rolling(20).std(ddof=0),
        "volume_trend_5_20": volume.rolling(5).mean() / volume.rolling(20).mean(),
        "obv_20": (np.sign(returns) * volume).rolling(20).sum() / volume.rolling(20).sum(),
        "vwap_distance": (close - vwap) / atr,
        "vwap_distance_20": (close - (typical * volume).rolling(20).sum() / volume.rolling(20).sum()) / atr,
        "size_volume_correlation_20": size.rolling(20).corr(volume),
        "amihud_ratio_5_20": (size.rolling(5).sum() / value.rolling(5).sum())
        / (size.rolling(20).sum() / value.rolling(20).sum()),
        "chaikin_flow_20": (place * volume).rolling(20).sum() / volume.rolling(20).sum(),
        "force_13": pd.Series(force) / atr,
        "quiet_share_20": (volume == 0).astype(float).rolling(20).mean(),
        "volume_surprise": volume / _usual(volume, minute),
        "session_pace": so_far / _usual(so_far, minute),
    }


def _usual(values: pd.Series, minute: pd.Series) -> pd.Series:
    """Mean of the earlier values at the same minute; from the tenth on the newest weighs a tenth."""
    usual: dict = {}
    out = np.full(len(values), np.nan)
    for i, (value, at) in enumerate(zip(values, minute, strict=True)):
        seen, mean = usual.get(at, (0, 0.0))
        if seen:
            out[i] = mean
        usual[at] = (seen + 1, mean + (value - mean) * max(1 / (seen + 1), 0.1))
    return pd.Series(out)


def _of_channels(bar: pd.DataFrame) -> dict[str, pd.Series]:
    figures = {}
    for n in (20, 55):
        top, bottom = bar["high"].rolling(n).max().shift(), bar["low"].rolling(n).min().shift()
        figures[f"donchian_{n}"] = (bar["close"] - (top + bottom) / 2) / ((top - bottom) / 2)
    width = {n: bar["high"].rolling(n).max() - bar["low"].rolling(n).min() for n in (20, 55)}
    return figures | {"channel_squeeze_20_55": width[20] / width[55]} | _of_swings(bar)


def _of_swings(bar: pd.DataFrame) -> dict[str, pd.Series]:
    high, low, close = (bar[name].to_numpy() for name in ("high", "low", "close"))
    found: dict[str, list] = {"top": [], "bottom": [], "top_at": [], "bottom_at": []}
    for i in range(len(bar)):
        for name, values in (("top", high), ("bottom", -low)):
            swings = [
                j for j in range(3, i - 2)
                if values[j] > values[j - 3 : j].max() and values[j] >= values[j + 1 : j + 4].max()
            ] if i < 300 else _recent_swings(values, i)  # fmt: skip
            at = swings[-1] if swings else i - int(np.argmax(values[: i + 1][::-1]))
            found[name].append(abs(values[at]))
            found[f"{name}_at"].append(i - at)
    top, bottom, atr = np.array(found["top"]), np.array(found["bottom"]), atr_of(bar)
    return {
        "swing_high_distance": (close - top) / atr,
        "swing_low_distance": (close - bottom) / atr,
        "swing_high_age": pd.Series(found["top_at"], dtype=float),
        "swing_low_age": pd.Series(found["bottom_at"], dtype=float),
        "swing_place": pd.Series(np.where(top > bottom, (2 * close - top - bottom) / (top - bottom), 0.0)).clip(
            -20, 20
        ),
    }


def _recent_swings(values: np.ndarray, i: int) -> list[int]:
    return [
        j for j in range(i - 250, i - 2)
        if values[j] > values[j - 3 : j].max() and values[j] >= values[j + 1 : j + 4].max()
    ]  # fmt: skip


def _of_sessions(bar: pd.DataFrame) -> dict[str, pd.Series]:
    day, close, atr = bar["close_time"].dt.date, bar["close"], atr_of(bar)
    days = bar.groupby(day).agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last")
    )
    before = {name: day.map(days[name].shift()) for name in days}
    first_open = day.map(days["open"])
    opening = bar.groupby(day).head(3).groupby(day).agg(top=("high", "max"), bottom=("low", "min"))
    top, bottom = day.map(opening["top"]), day.map(opening["bottom"])
    started = bar.groupby(day).cumcount() >= 2
    pivot, width = (before["high"] + before["low"] + before["close"]) / 3, before["high"] - before["low"]
    gap = first_open - before["close"]
    back = np.where(
        gap > 0, first_open - bar["low"].groupby(day).cummin(), bar["high"].groupby(day).cummax() - first_open
    )
    return {
        "session_return": (close - first_open) / atr,
        "gap": (gap / atr).where(gap.notna(), 0.0),
        "gap_fill": pd.Series(np.minimum(back / gap.abs(), 1.0)),
        "opening_range": ((close - (top + bottom) / 2) / ((top - bottom) / 2)).where(started),
        "opening_range_width": ((top - bottom) / atr).where(started),
        "pivot_distance": (close - pivot) / atr,
        "resistance_1_distance": (close - (2 * pivot - before["low"])) / atr,
        "support_1_distance": (close - (2 * pivot - before["high"])) / atr,
        "resistance_2_distance": (close - (pivot + width)) / atr,
        "support_2_distance": (close - (pivot - width)) / atr,
        "last_high_distance": (close - before["high"]) / atr,
        "last_low_distance": (close - before["low"]) / atr,
        "last_close_distance": (close - before["close"]) / atr,
        "last_range_place": ((2 * close - before["high"] - before["low"]) / width).clip(-20, 20),
    }


def _of_patterns(bar: pd.DataFrame) -> dict[str, pd.Series]:
    candles = list(bar[["open", "high", "low", "close"]].itertuples(index=False, name=None))
    atr = atr_of(bar)
    width, body = bar["high"] - bar["low"], bar["close"] - bar["open"]
    found: dict[str, list[float]] = {name: [] for name in _PATTERNS}
    for i in range(len(candles)):
        for name, pattern in _PATTERNS.items():
            found[name].append(float(pattern(*candles[max(i - 2, 0) : i + 1])) if i >= 2 else np.nan)
    change, streak = np.sign(bar["close"].diff().to_numpy()), [np.nan]
    for way in change[1:]:
        last = streak[-1]
        streak.append(way if not last * way > 0 else last + way)
    return {name: pd.Series(values) for name, values in found.items()} | {
        "body_share": body / width,
        "upper_wick_share": (bar["high"] - bar[["open", "close"]].max(axis=1)) / width,
        "lower_wick_share": (bar[["open", "close"]].min(axis=1) - bar["low"]) / width,
        "close_location": ((bar["close"] - bar["low"]) - (bar["high"] - bar["close"])) / width,
        "body_atr": body / atr,
        "streak": pd.Series(streak),
    }


def _white(candle) -> bool:
    return candle[3] > candle[0]


def _black(candle) -> bool:
    return candle[3] < candle[0]


def _body(candle) -> float:
    return abs(candle[3] - candle[0]) / (candle[1] - candle[2])


def _mirrored(pattern):
    """1 where the pattern is there, -1 where it is in prices turned upside down."""

    def both(*candles):
        turned = [(-o, -low, -h, -c) for o, h, low, c in candles]
        return int(pattern(*candles)) - int(pattern(*turned))

    return both


_PATTERNS = {
    "doji": lambda a, b, c: _body(c) <= 0.1,
    "hammer": lambda a, b, c: _body(c) <= 0.3 and min(c[0], c[3]) - c[2] >= 0.6 * (c[1] - c[2]),
    "shooting_star": lambda a, b, c: _body(c) <= 0.3 and c[1] - max(c[0], c[3]) >= 0.6 * (c[1] - c[2]),
    "inside_bar": lambda a, b, c: c[1] <= b[1] and c[2] >= b[2],
    "outside_bar": lambda a, b, c: c[1] > b[1] and c[2] < b[2],
    "engulfing": _mirrored(lambda a, b, c: _black(b) and _white(c) and c[0] <= b[3] and c[3] >= b[0]),
    "harami": _mirrored(lambda a, b, c: _black(b) and _body(b) >= 0.6 and _white(c) and c[0] >= b[3] and c[3] <= b[0]),
    "piercing": _mirrored(
        lambda a, b, c: _black(b) and _body(b) >= 0.6 and _white(c) and c[0] <= b[3] and (b[0] + b[3]) / 2 < c[3] < b[0]
    ),
    "star_reversal": _mirrored(
        lambda a, b, c: _black(a) and _body(a) >= 0.6 and _body(b) <= 0.3 and _white(c) and c[3] > (a[0] + a[3]) / 2
    ),
    "three_in_a_row": _mirrored(lambda a, b, c: _white(a) and _white(b) and _white(c) and a[3] < b[3] < c[3]),
}


def _of_the_market(bar: pd.DataFrame, market_return: pd.Series, breadth: pd.Series) -> dict[str, pd.Series]:
    returns = np.log(bar["close"]).diff()
    spread = returns.rolling(24).std()
    figures = {}
    for n in (12, 48):
        ahead = np.log(bar["close"]).diff(n) - market_return.rolling(n).sum()
        figures[f"relative_strength_{n}"] = ahead / (spread * np.sqrt(n))
        figures[f"market_return_{n}"] = market_return.rolling(n).sum()
    return figures | {
        "beta_48": returns.rolling(48).cov(market_return) / market_return.rolling(48).var(),
        "market_correlation_48": returns.rolling(48).corr(market_return),
        "market_return_1": market_return,
        "market_volatility_24": market_return.rolling(24).std(),
        "market_activity_72": market_return.abs().rolling(72).mean(),
        "market_trend_72": market_return.rolling(72).sum() / (market_return.rolling(72).std() * np.sqrt(72)),
        "market_breadth": breadth,
        "market_breadth_12": breadth.rolling(12).mean(),
    }


def _of_news_and_calendar(bar: pd.DataFrame) -> dict[str, pd.Series]:
    time = bar["close_time"].dt
    turns = {
        "minute": (time.hour * 60 + time.minute) / 1440,
        "weekday": time.dayofweek / 7,
        "month": (time.month - 1) / 12,
    }
    return {f"{name}_sine": np.sin(2 * np.pi * turn) for name, turn in turns.items()} | {
        f"{name}_cosine": np.cos(2 * np.pi * turn) for name, turn in turns.items()
    }


def _of_longer_bars(bar: pd.DataFrame, time: str, minutes: int | None, span: int) -> dict[str, pd.Series]:
    """Only bars that are over count: by the clock for 15 minutes and the hour, by the next one's first bar else."""
    of_day = bar["close_time"].dt.hour * 60 + bar["close_time"].dt.minute - 555
    part = (of_day - 1) // minutes if minutes else of_day * 0
    key = bar["close_time"].dt.normalize() + pd.to_timedelta(part, unit="min")
    longer = bar.groupby(key, sort=True).agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last")
    )
    number = key.map({at: i for i, at in enumerate(longer.index)})
    over = number + (of_day % minutes == 0) if minutes else number  # finished ones at each bar
    longer = longer.reset_index(drop=True)
    change = longer["close"].diff().to_numpy()[1:]
    gain, loss = _wilder(np.maximum(change, 0), span), _wilder(np.maximum(-change, 0), span)
    squares = np.diff(np.log(longer["close"])) ** 2
    told = pd.DataFrame(
        {
            "rsi": np.r_[np.nan, 100 * gain / (gain + loss)],
            "fast": _ema(longer["close"].to_numpy(), span // 2),
            "slow": _ema(longer["close"].to_numpy(), span),
            "atr": atr_of(longer, span),
            "size": np.r_[np.nan, np.sqrt(_wilder(squares, span))],
            "earlier": longer["close"].shift(4),
            "high": longer["high"],
            "low": longer["low"],
        }
    )
    told.index += 1  # so many are over
    now = told.reindex(over.to_numpy()).reset_index(drop=True)
    begun = pd.Series(longer["open"].to_numpy()[number.to_numpy()])
    figures = {
        f"{time}_rsi_{span}": now["rsi"],
        f"{time}_close_ema_{span}": (bar["close"] - now["slow"]) / now["atr"],
        f"{time}_ema_gap_{span // 2}_{span}": (now["fast"] - now["slow"]) / now["atr"],
        f"{time}_return_4": np.log(bar["close"] / now["earlier"]),
        f"{time}_range_place": ((2 * bar["close"] - now["high"] - now["low"]) / (now["high"] - now["low"])).clip(
            -20, 20
        ),
        f"{time}_volatility_{span}": now["size"],
    }
    return figures | ({f"{time}_forming_body": (bar["close"] - begun) / now["atr"]} if minutes else {})
