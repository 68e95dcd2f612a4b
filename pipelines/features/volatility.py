"""Volatility: true range, close-to-close, and the range estimators."""

import math

from pipelines.features.definition import BOLLINGER, KAUFMAN, WILDER, family, places
from pipelines.features.state import IN, push, rings
from pipelines.features.windows import compiled, deviation, mean, moments, ratio

FEATURES = family(
    "volatility",
    [
        ("atr_pct_14", 14, "share of the close", WILDER, "smoothed true range"),
        (
            "volatility_24",
            24,
            "log return per bar",
            "standard deviation of close-to-close log returns",
            "spread of 24 log returns",
        ),
        ("volatility_ratio_12_48", 48, "ratio", KAUFMAN, "volatility of 12 bars over that of 48"),
        (
            "parkinson_20",
            19,
            "log return per bar",
            "Parkinson (1980), Journal of Business 53(1), 61-65",
            "volatility from highs and lows of 20 bars",
        ),
        (
            "garman_klass_20",
            19,
            "log return per bar",
            "Garman and Klass (1980), Journal of Business 53(1), 67-78",
            "volatility from the whole candles of 20 bars",
        ),
        ("bollinger_width_20", 19, "share of the mean close", BOLLINGER, "width of the bands of 2 standard deviations"),
        ("range_atr", 14, "ATR", WILDER, "range of the bar"),
    ],
)
AT = places(FEATURES)
STATE = rings("parkinson", "garman_klass")

PARKINSON = 1.0 / (4.0 * math.log(2.0))
GARMAN_KLASS = 2.0 * math.log(2.0) - 1.0


@compiled
def write(s, bar, market, out):
    end = s.end
    width, body = math.log(bar[IN.high] / bar[IN.low]), math.log(bar[IN.close] / bar[IN.open])
    push(s.parkinson, end, PARKINSON * width * width)
    push(s.garman_klass, end, 0.5 * width * width - GARMAN_KLASS * body * body)
    out[AT.atr_pct_14] = s.atr / s.close[end - 1]
    out[AT.volatility_24] = s.volatility
    out[AT.volatility_ratio_12_48] = ratio(
        deviation(s.log_return[end - 12 : end]), deviation(s.log_return[end - 48 : end])
    )
    out[AT.parkinson_20] = math.sqrt(mean(s.parkinson[end - 20 : end]))
    out[AT.garman_klass_20] = math.sqrt(max(mean(s.garman_klass[end - 20 : end]), 0.0))
    average, spread = moments(s.close[end - 20 : end])
    out[AT.bollinger_width_20] = 4.0 * math.sqrt(spread / 20.0) / average
    out[AT.range_atr] = ratio(s.high[end - 1] - s.low[end - 1], s.atr)
