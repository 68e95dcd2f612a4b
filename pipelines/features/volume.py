"""Volume and flow; all NaN where the source has no volume."""

import math

from pipelines.features.definition import KAUFMAN, family, places
from pipelines.features.state import figures
from pipelines.features.windows import SAME, co_moments, compiled, mean, moments, ratio, total

FEATURES = family(
    "volume",
    [
        ("relative_volume_20", 20, "ratio", KAUFMAN, "volume over the mean of the 20 bars before"),
        ("volume_z_20", 19, "standard deviations", KAUFMAN, "volume over its mean of 20 bars"),
        ("volume_trend_5_20", 19, "ratio", KAUFMAN, "mean volume of 5 bars over that of 20"),
        (
            "obv_20",
            20,
            "share of the volume",
            "Granville (1963), New Key to Stock Market Profits; over a window",
            "volume of rising less falling bars, of 20",
        ),
        (
            "mfi_14",
            14,
            "percent",
            "Quong and Soudack (1989), Technical Analysis of Stocks and Commodities 7(3)",
            "share of rising bars in the money traded",
        ),
        (
            "vwap_distance",
            14,
            "ATR",
            "Berkowitz, Logue and Noser (1988), Journal of Finance 43(1)",
            "close over the session's volume-weighted mean price",
        ),
        ("return_volume_correlation_20", 20, "correlation", "Karpoff (1987), JFQA 22(1)", "do rises come with volume"),
    ],
)
AT = places(FEATURES)
STATE = figures("session_value", "session_volume")


@compiled
def write(s, bar, market, out):
    end = s.end
    volume = s.volume[end - 1]
    if s.session_bars == 1.0:
        s.session_value = s.session_volume = 0.0
    s.session_value += s.typical[end - 1] * volume
    s.session_volume += volume
    out[AT.relative_volume_20] = ratio(volume, mean(s.volume[end - 21 : end - 1]))
    average, spread = moments(s.volume[end - 20 : end])
    out[AT.volume_z_20] = ratio(volume - average, math.sqrt(spread / 20.0))
    out[AT.volume_trend_5_20] = ratio(mean(s.volume[end - 5 : end]), average)
    out[AT.obv_20] = _balance(s)
    out[AT.mfi_14] = _money_flow_index(s)
    out[AT.vwap_distance] = ratio(s.close[end - 1] - ratio(s.session_value, s.session_volume), s.atr)
    product, returns, volumes = co_moments(s.log_return[end - 20 : end], s.volume[end - 20 : end])
    out[AT.return_volume_correlation_20] = ratio(product, math.sqrt(returns * volumes))


@compiled
def _balance(s):
    """On-balance volume of 20 bars over their volume: 1 when all of it traded in rising bars."""
    flow = 0.0
    for i in range(s.end - 20, s.end):
        change = s.log_return[i]
        if change > 0.0:
            flow += s.volume[i]
        elif change < 0.0:
            flow -= s.volume[i]
    return ratio(flow, total(s.volume[s.end - 20 : s.end]))


@compiled
def _money_flow_index(s):
    up = down = 0.0
    for i in range(s.end - 14, s.end):
        flow = s.typical[i] * s.volume[i]
        change = s.typical[i] - s.typical[i - 1]
        if change > SAME * s.typical[i]:
            up += flow
        elif change < -SAME * s.typical[i]:
            down += flow
    if math.isnan(s.volume[s.end - 1]):
        return math.nan
    return 100.0 * up / (up + down) if up + down > 0.0 else 50.0
