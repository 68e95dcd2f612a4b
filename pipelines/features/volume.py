"""Volume and flow; all NaN where the source has no volume."""

import math

import numpy as np

from pipelines.features.definition import KAUFMAN, OWN, family, row_of
from pipelines.features.sliding import slide, sliding
from pipelines.features.state import figures
from pipelines.features.windows import SAME, compiled, exponential, ratio, scatter

_OBV = "Granville (1963), New Key to Stock Market Profits; over a window"
_CHAIKIN = "Chaikin; in Murphy (1999), Technical Analysis of the Financial Markets"
_QUONG = "Quong and Soudack (1989), TASC 7(3)"
_KARPOFF = "Karpoff (1987), JFQA 22(1)"
_VWAP = "Berkowitz, Logue and Noser (1988), Journal of Finance 43(1)"
_CURVE = "volume at the same minute of earlier sessions, newest weigh 1/10"

FEATURES = family(
    "volume",
    [
        ("relative_volume_20", 20, "ratio", KAUFMAN, "volume over the mean of the 20 bars before"),
        ("volume_z_20", 19, "standard deviations", KAUFMAN, "volume over its mean of 20 bars"),
        ("volume_trend_5_20", 19, "ratio", KAUFMAN, "mean volume of 5 bars over that of 20"),
        ("obv_20", 20, "share of the volume", _OBV, "volume of rising less falling bars"),
        ("mfi_14", 14, "percent", _QUONG, "share of rising bars in the money traded"),
        ("vwap_distance", 14, "ATR", _VWAP, "close over the session's volume-weighted mean price"),
        ("vwap_distance_20", 19, "ATR", _VWAP, "close over the volume-weighted mean price of 20 bars"),
        ("return_volume_correlation_20", 20, "correlation", _KARPOFF, "do rises come with volume"),
        ("size_volume_correlation_20", 20, "correlation", _KARPOFF, "do large moves come with volume"),
        ("amihud_ratio_5_20", 20, "ratio", "Amihud (2002), JFM 5(1)", "move a rupee traded, 5 bars over 20"),
        ("chaikin_flow_20", 19, "signed share", _CHAIKIN, "where in their ranges bars closed, by volume"),
        ("chaikin_oscillator_3_10", 19, "mean volumes of 20 bars", _CHAIKIN, "is the flow gaining"),
        ("force_13", 14, "ATR", "Elder (1993), Trading for a Living", "smoothed move of the close, by volume"),
        ("quiet_share_20", 19, "share", OWN, "bars of 20 without a trade"),
    ],
) + family(
    "volume",
    [
        ("volume_surprise", 0, "ratio", _CURVE, "volume over what is usual at that minute"),
        ("session_pace", 0, "ratio", _CURVE, "session's volume so far over what is usual by that minute"),
    ],
    sessions=1,
)
ROW = row_of(FEATURES)

_VOLUME_5, OF_5 = sliding("volume_5", 5, "volume", "value", "size")
_VOLUME_14, OF_14 = sliding("volume_14", 14, "up", "down")
_VOLUME_20, OF = sliding(
    "volume_20", 20, "volume", "square", "signed", "value", "typical_value", "flow", "quiet", "own", "own_square",
    "own_volume", "size", "size_volume",
)  # fmt: skip

#: Within which every regular session since 2000 lies; closes outside have no usual volume (evening sessions)
FIRST_MINUTE, LAST_MINUTE = 9 * 60, 15 * 60 + 30
CURVE_WEIGHT = 0.1  #: of the newest session in the usual volume of a minute
_CURVE_FIELDS = tuple(
    (name, np.float64, (LAST_MINUTE - FIRST_MINUTE + 1,)) for name in ("usual_volume", "usual_pace", "minutes_seen")
)
STATE = (
    *figures("session_value", "session_volume", "flow_3", "flow_10", "force", "force_volume"),
    *_CURVE_FIELDS,
    _VOLUME_5,
    _VOLUME_14,
    _VOLUME_20,
)


@compiled
def write(s, bar, out):
    volume = s.volume[s.end - 1]
    close, typical = s.close[s.end - 1], s.typical[s.end - 1]
    if s.session_bars == 1.0:
        s.session_value = s.session_volume = 0.0
    s.session_value += typical * volume
    s.session_volume += volume
    out.vwap_distance = (close - ratio(s.session_value, s.session_volume)) * s.per_atr
    earlier = s.volume_20.total[OF.volume]
    flow = _remember(s, volume, close, typical)
    out.relative_volume_20 = ratio(20.0 * volume, earlier)
    _window(s, volume, close, out)
    out.mfi_14 = _money_flow_index(s, volume)
    _smoothed(s, volume, flow, out)
    _curve(s, bar, volume, out)


@compiled
def _remember(s, volume, close, typical):
    """Sums over 5, 14 and 20 bars; returns the bar's flow, its volume signed by where in the range it closed."""
    own = s.log_return[s.end - 1]
    width = s.high[s.end - 1] - s.low[s.end - 1]
    flow = volume * (2.0 * close - s.high[s.end - 1] - s.low[s.end - 1]) / width if width > 0.0 else 0.0 * volume
    short, block = s.volume_5, s.volume_20
    short.now[OF_5.volume] = block.now[OF.volume] = volume
    short.now[OF_5.value] = block.now[OF.value] = close * volume
    short.now[OF_5.size] = block.now[OF.size] = abs(own)
    block.now[OF.square] = volume * volume
    block.now[OF.signed] = volume if own > 0.0 else (-volume if own < 0.0 else 0.0)
    block.now[OF.typical_value] = typical * volume
    block.now[OF.flow] = flow
    block.now[OF.quiet] = 1.0 if volume == 0.0 else 0.0 * volume
    block.now[OF.own], block.now[OF.own_square] = own, own * own
    block.now[OF.own_volume], block.now[OF.size_volume] = own * volume, abs(own) * volume
    slide(short, s.count)
    slide(block, s.count)
    money, change = s.volume_14, typical - s.typical[s.end - 2]
    moved = s.count > 1
    money.now[OF_14.up] = typical * volume if moved and change > SAME * typical else 0.0
    money.now[OF_14.down] = typical * volume if moved and change < -SAME * typical else 0.0
    slide(money, s.count)
    return flow


@compiled
def _window(s, volume, close, out):
    short, total = s.volume_5.total, s.volume_20.total
    summed, value = total[OF.volume], total[OF.value]
    per_volume = 1.0 / summed if summed > 0.0 else math.nan
    spread = scatter(summed, total[OF.square], 20)
    out.volume_z_20 = ratio(volume - summed / 20.0, math.sqrt(spread / 20.0))
    out.volume_trend_5_20 = 4.0 * short[OF_5.volume] * per_volume
    out.obv_20 = total[OF.signed] * per_volume
    out.chaikin_flow_20 = total[OF.flow] * per_volume
    out.vwap_distance_20 = (close - total[OF.typical_value] * per_volume) * s.per_atr
    out.quiet_share_20 = total[OF.quiet] / 20.0
    out.amihud_ratio_5_20 = ratio(short[OF_5.size] * value, short[OF_5.value] * total[OF.size])
    own, size, squares = total[OF.own], total[OF.size], total[OF.own_square]
    scale = spread * scatter(own, squares, 20)
    out.return_volume_correlation_20 = ratio(total[OF.own_volume] - own * summed / 20.0, math.sqrt(scale))
    scale = spread * scatter(size, squares, 20)
    out.size_volume_correlation_20 = ratio(total[OF.size_volume] - size * summed / 20.0, math.sqrt(scale))


@compiled
def _money_flow_index(s, volume):
    up, down = s.volume_14.total[OF_14.up], s.volume_14.total[OF_14.down]
    if math.isnan(volume):
        return math.nan
    return 100.0 * up / (up + down) if up + down > 0.0 else 50.0


@compiled
def _smoothed(s, volume, flow, out):
    """Chaikin's oscillator and Elder's force. The running total of the flow is not kept: only how far its means lag."""
    if not math.isnan(volume) and s.count > 1:
        s.flow_3 = (s.flow_3 - flow) * (1.0 - 2.0 / 4.0)
        s.flow_10 = (s.flow_10 - flow) * (1.0 - 2.0 / 11.0)
        s.force = exponential(s.force, s.change * volume, 13, s.count - 1)
        s.force_volume = exponential(s.force_volume, volume, 13, s.count - 1)
    out.chaikin_oscillator_3_10 = ratio(20.0 * (s.flow_3 - s.flow_10), s.volume_20.total[OF.volume])
    out.force_13 = ratio(s.force, s.force_volume) * s.per_atr


@compiled
def _curve(s, bar, volume, out):
    """Volume against the volume curve of the day, as the sessions before drew it; NaN for a minute not seen before."""
    out.volume_surprise = out.session_pace = math.nan
    minute = int(bar.minute) - FIRST_MINUTE
    if not 0 <= minute <= LAST_MINUTE - FIRST_MINUTE:
        return
    if s.minutes_seen[minute] > 0.0:
        out.volume_surprise = ratio(volume, s.usual_volume[minute])
        out.session_pace = ratio(s.session_volume, s.usual_pace[minute])
    if not math.isnan(volume):
        s.minutes_seen[minute] += 1.0
        weight = max(1.0 / s.minutes_seen[minute], CURVE_WEIGHT)
        s.usual_volume[minute] += (volume - s.usual_volume[minute]) * weight
        s.usual_pace[minute] += (s.session_volume - s.usual_pace[minute]) * weight
