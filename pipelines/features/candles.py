"""Candles: body and wicks of the bar, and how long closes have moved one way. A bar without range has shares of 0."""

from pipelines.features.definition import NISON, OWN, family, places
from pipelines.features.state import figures
from pipelines.features.windows import compiled, ratio

FEATURES = family(
    "candles",
    [
        ("body_share", 0, "share of the range", NISON, "close over open, of the range"),
        ("upper_wick_share", 0, "share of the range", NISON, "wick above the body"),
        ("lower_wick_share", 0, "share of the range", NISON, "wick below the body"),
        ("body_atr", 14, "ATR", NISON, "close over open"),
        ("streak", 1, "bars", OWN, "closes in a row that rose (or fell, below zero)"),
    ],
)
AT = places(FEATURES)
STATE = figures("streak")


@compiled
def write(s, bar, market, out):
    end = s.end
    high, low, close = s.high[end - 1], s.low[end - 1], s.close[end - 1]
    width = high - low
    body = close - s.open_now
    out[AT.body_share] = body / width if width > 0.0 else 0.0
    out[AT.upper_wick_share] = (high - max(s.open_now, close)) / width if width > 0.0 else 0.0
    out[AT.lower_wick_share] = (min(s.open_now, close) - low) / width if width > 0.0 else 0.0
    out[AT.body_atr] = ratio(body, s.atr)
    if s.count > 1:
        _remember_streak(s, close, s.close[end - 2])
    out[AT.streak] = s.streak


@compiled
def _remember_streak(s, close, before):
    if close > before:
        s.streak = max(s.streak, 0.0) + 1.0
    elif close < before:
        s.streak = min(s.streak, 0.0) - 1.0
    else:
        s.streak = 0.0
