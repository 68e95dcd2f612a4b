"""Volatility: true range, close-to-close, and the range estimators."""

import math

from pipelines.features.catalogue import AT
from pipelines.features.windows import compiled, deviation, mean, moments, ratio


@compiled
def write(s, out):
    end = s.end
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
