"""Which features there are: name, family, look-back, unit, source. The order is that of the columns.

Adding a feature is a line here and one assignment in the family's `write`. When a feature's meaning changes, its
`version` goes up: then the catalogue's hash changes, and policies trained on the old meaning refuse the new rows.
"""

import hashlib
import json
from collections import namedtuple
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.domain.bars import Interval

#: Regime probabilities that a decision row carries beside the features; they are part of the hash.
REGIME_COLUMNS = ("regime_bull", "regime_bear", "regime_range", "regime_high_volatility")


@dataclass(frozen=True, slots=True)
class Feature:
    name: str
    family: str
    look_back: int  #: earlier bars it needs: the first `look_back` rows of an instrument are NaN
    unit: str
    source: str
    version: int = 1  #: goes up when the meaning changes


def _family(family: str, rows: list[tuple[str, int, str, str]]) -> tuple[Feature, ...]:
    return tuple(Feature(name, family, look_back, unit, source) for name, look_back, unit, source in rows)


_APPEL = "Appel (2005), Technical Analysis: Power Tools for Active Investors"
_WILDER = "Wilder (1978), New Concepts in Technical Trading Systems"
_KAUFMAN = "Kaufman (2013), Trading Systems and Methods, 5th ed."
_MOSKOWITZ = "Moskowitz, Ooi and Pedersen (2012), Journal of Financial Economics 104(2)"
_LANE = "Lane (1984), Technical Analysis of Stocks and Commodities 2(3)"
_BOLLINGER = "Bollinger (2001), Bollinger on Bollinger Bands"
_DONCHIAN = "Donchian (1960), Commodity Year Book"
_NISON = "Nison (1991), Japanese Candlestick Charting Techniques"
_OWN = "defined here"

TREND = _family(
    "trend",
    [
        ("ema_gap_5_20", 19, "ATR", _KAUFMAN),
        ("ema_gap_20_50", 49, "ATR", _KAUFMAN),
        ("close_ema_20", 19, "ATR", _KAUFMAN),
        ("close_ema_50", 49, "ATR", _KAUFMAN),
        ("macd_12_26", 25, "ATR", _APPEL),
        ("macd_histogram_9", 33, "ATR", _APPEL),
        ("slope_12", 14, "ATR per bar", "least squares line through the closes"),
        ("slope_24", 23, "ATR per bar", "least squares line through the closes"),
        ("trend_r2_24", 23, "share", "determination of the least squares line"),
        ("adx_14", 27, "percent", _WILDER),
        ("di_spread_14", 14, "share", _WILDER),
    ],
)
MOMENTUM = _family(
    "momentum",
    [
        ("return_1", 24, "volatilities", _MOSKOWITZ),
        ("return_3", 24, "volatilities", _MOSKOWITZ),
        ("return_6", 24, "volatilities", _MOSKOWITZ),
        ("return_12", 24, "volatilities", _MOSKOWITZ),
        ("return_24", 24, "volatilities", _MOSKOWITZ),
        ("return_48", 48, "volatilities", _MOSKOWITZ),
        ("return_72", 72, "volatilities", _MOSKOWITZ),
        ("rsi_14", 14, "percent", _WILDER),
        ("roc_12", 12, "share", _KAUFMAN),
        ("stochastic_k_14", 13, "percent", _LANE),
        ("stochastic_d_3", 15, "percent", _LANE),
        ("session_return", 14, "ATR", _OWN),
    ],
)
VOLATILITY = _family(
    "volatility",
    [
        ("atr_pct_14", 14, "share of the close", _WILDER),
        ("volatility_24", 24, "log return per bar", "standard deviation of close-to-close log returns"),
        ("volatility_ratio_12_48", 48, "ratio", _KAUFMAN),
        ("parkinson_20", 19, "log return per bar", "Parkinson (1980), Journal of Business 53(1), 61-65"),
        ("garman_klass_20", 19, "log return per bar", "Garman and Klass (1980), Journal of Business 53(1), 67-78"),
        ("bollinger_width_20", 19, "share of the mean close", _BOLLINGER),
        ("range_atr", 14, "ATR", _WILDER),
    ],
)
VOLUME = _family(
    "volume",
    [
        ("relative_volume_20", 20, "ratio", _KAUFMAN),
        ("volume_z_20", 19, "standard deviations", _KAUFMAN),
        ("volume_trend_5_20", 19, "ratio", _KAUFMAN),
        ("obv_20", 20, "share of the volume", "Granville (1963), New Key to Stock Market Profits; over a window"),
        ("mfi_14", 14, "percent", "Quong and Soudack (1989), Technical Analysis of Stocks and Commodities 7(3)"),
        ("vwap_distance", 14, "ATR", "Berkowitz, Logue and Noser (1988), Journal of Finance 43(1)"),
        ("return_volume_correlation_20", 20, "correlation", "Karpoff (1987), JFQA 22(1)"),
    ],
)
CANDLES = _family(
    "candles",
    [
        ("body_share", 0, "share of the range", _NISON),
        ("upper_wick_share", 0, "share of the range", _NISON),
        ("lower_wick_share", 0, "share of the range", _NISON),
        ("body_atr", 14, "ATR", _NISON),
        ("streak", 1, "bars", _OWN),
    ],
)
BREAKOUTS = _family(
    "breakouts",
    [
        ("donchian_20", 20, "half widths of the earlier channel", _DONCHIAN),
        ("donchian_55", 55, "half widths of the earlier channel", _DONCHIAN),
        ("high_distance_55", 54, "ATR", "George and Hwang (2004), Journal of Finance 59(5)"),
        ("low_distance_55", 54, "ATR", "George and Hwang (2004), Journal of Finance 59(5)"),
        ("channel_squeeze_20_55", 54, "ratio", _BOLLINGER),
        ("gap", 14, "ATR", _OWN),
        ("opening_range", 0, "half widths of the session's first 3 bars", "Crabel (1990), Day Trading"),
    ],
)
STATISTICS = _family(
    "statistics",
    [
        ("z_score_20", 19, "standard deviations", _BOLLINGER),
        ("z_score_48", 47, "standard deviations", _BOLLINGER),
        ("skew_24", 24, "third standardised moment", "of the log returns"),
        ("autocorrelation_24", 24, "correlation", "of the log returns at lag 1; Lo and MacKinlay (1988), RFS 1(1)"),
        ("efficiency_24", 24, "share", _KAUFMAN),
    ],
)
MARKET = _family(
    "market",
    [
        ("market_return_1", 1, "log return", "equal-weighted stocks of the run"),
        ("market_return_12", 12, "log return", "equal-weighted stocks of the run"),
        ("market_return_48", 48, "log return", "equal-weighted stocks of the run"),
        ("market_volatility_24", 24, "log return per bar", "equal-weighted stocks of the run"),
        ("market_activity_72", 72, "log return per bar", "mean absolute return: one overnight gap moves it little"),
        ("market_trend_72", 72, "volatilities", _MOSKOWITZ),
        ("market_breadth", 1, "share", "stocks of the run that rose in the bar"),
        ("market_breadth_12", 12, "share", "mean of market_breadth"),
    ],
)
RELATIVE = _family(
    "relative",
    [
        ("beta_48", 48, "ratio", "Sharpe (1964), Journal of Finance 19(3)"),
        ("market_correlation_48", 48, "correlation", "Sharpe (1964), Journal of Finance 19(3)"),
        ("relative_strength_12", 24, "volatilities", "Levy (1967), Journal of Finance 22(4)"),
        ("relative_strength_48", 48, "volatilities", "Levy (1967), Journal of Finance 22(4)"),
    ],
)
CALENDAR = _family(
    "calendar",
    [
        ("minute_sine", 0, "of the day's circle", "at the bar's close"),
        ("minute_cosine", 0, "of the day's circle", "at the bar's close"),
        ("weekday_sine", 0, "of the week's circle", "French (1980), Journal of Financial Economics 8(1)"),
        ("weekday_cosine", 0, "of the week's circle", "French (1980), Journal of Financial Economics 8(1)"),
        ("month_sine", 0, "of the year's circle", "Rozeff and Kinney (1976), Journal of Financial Economics 3(4)"),
        ("month_cosine", 0, "of the year's circle", "Rozeff and Kinney (1976), Journal of Financial Economics 3(4)"),
    ],
)
NEWS = _family(
    "news",
    [
        ("news_level_6", 0, "decayed sentiment", "half-life of 6 bars; Tetlock (2007), Journal of Finance 62(3)"),
        ("news_level_24", 0, "decayed sentiment", "half-life of 24 bars; Tetlock (2007), Journal of Finance 62(3)"),
        ("news_count_24", 0, "items", "in the last 24 bars"),
    ],
)

CATALOGUE: tuple[Feature, ...] = (
    TREND + MOMENTUM + VOLATILITY + VOLUME + CANDLES + BREAKOUTS + STATISTICS + MARKET + RELATIVE + CALENDAR + NEWS
)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in CATALOGUE)
MARKET_NAMES: tuple[str, ...] = tuple(feature.name for feature in MARKET)

# Places of the values by name, e.g. AT.rsi_14; compiled code sees them as constants
AT: Any = namedtuple("AT", FEATURE_NAMES)(*range(len(FEATURE_NAMES)))  # type: ignore[misc]
MARKET_AT: Any = namedtuple("MARKET_AT", MARKET_NAMES)(*range(len(MARKET_NAMES)))  # type: ignore[misc]


def catalogue_hash(interval: Interval) -> str:
    """First 16 hex digits over features, regime columns and interval: rows and policies carry it."""
    said = json.dumps([[asdict(feature) for feature in CATALOGUE], REGIME_COLUMNS, Interval(interval).value])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def catalogue_content(interval: Interval) -> dict:
    """What `catalogue.json` holds."""
    return {
        "hash": catalogue_hash(interval),
        "interval": Interval(interval).value,
        "features": [asdict(feature) for feature in CATALOGUE],
    }
