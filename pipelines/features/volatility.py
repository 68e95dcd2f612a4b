"""Volatility: true range, close-to-close, and the range estimators."""

import math

from pipelines.domain.portable_math import LN_2, log
from pipelines.features.definition import BOLLINGER, KAUFMAN, OWN, WILDER, family, row_of
from pipelines.features.sliding import slide, slide_highest, sliding
from pipelines.features.state import OF_24, OF_48, figures, push, rings
from pipelines.features.windows import STILL, compiled, ratio, scatter

_PER_BAR = "log return per bar"
_SPREAD = "standard deviation of close-to-close log returns"
_BIPOWER = "Barndorff-Nielsen and Shephard (2004), JFEC 2(1)"
_YANG_ZHANG = "Yang and Zhang (2000), Journal of Business 73(3)"

FEATURES = family(
    "volatility",
    [
        ("atr_pct_14", 14, "share of the close", WILDER, "smoothed true range"),
        ("volatility_24", 24, _PER_BAR, _SPREAD, "spread of 24 log returns"),
        ("volatility_48", 48, _PER_BAR, _SPREAD, "spread of 48 log returns"),
        ("volatility_ratio_12_48", 48, "ratio", KAUFMAN, "volatility of 12 bars over that of 48"),
        ("volatility_change_24", 48, "log ratio", OWN, "volatility over that of 24 bars before"),
        ("ewma_volatility", 17, _PER_BAR, "RiskMetrics (1996), decay 0.94", "smoothed size of the returns"),
        ("parkinson_20", 19, _PER_BAR, "Parkinson (1980), Journal of Business 53(1), 61-65", "from highs and lows"),
        ("garman_klass_20", 19, _PER_BAR, "Garman and Klass (1980), Journal of Business 53(1), 67-78", "from candles"),
        (
            "rogers_satchell_20",
            19,
            _PER_BAR,
            "Rogers and Satchell (1991), AAP 1(4)",
            "from candles, whatever the drift",
        ),
        ("yang_zhang_20", 20, _PER_BAR, _YANG_ZHANG, "from candles and the gaps between them"),
        ("gap_share_20", 20, "share", _YANG_ZHANG, "squared moves between the bars, of all"),
        ("downside_share_24", 24, "share", "Markowitz (1959), Portfolio Selection", "squared falls, of all squares"),
        ("jump_share_24", 25, "share", _BIPOWER, "variance that comes in single leaps"),
        ("bollinger_width_20", 19, "share of the mean close", BOLLINGER, "width of bands of 2 standard deviations"),
        ("range_atr", 14, "ATR", WILDER, "range of the bar"),
        ("range_contraction_7", 6, "ratio", "Crabel (1990), Day Trading", "range of the bar over the mean of 7"),
        ("ulcer_20", 38, "share", "Martin and McCann (1989), The Investor's Guide", "depth under the highest close"),
    ],
)
ROW = row_of(FEATURES)

_RETURNS_12, OF_12 = sliding("returns_12", 12, "own", "square")
_CANDLES_20, OF_20 = sliding(
    "candles_20", 20, "parkinson", "klass", "satchell", "gap", "gap_square", "body", "body_square", "depth"
)
_WIDTH_7, _ = sliding("width_7", 7, "range")
_TOP_CLOSE_20, _ = sliding("top_close_20", 20, "close")
STATE = (*figures("smooth_square"), *rings("spread_24"), _RETURNS_12, _CANDLES_20, _WIDTH_7, _TOP_CLOSE_20)

PARKINSON = 1.0 / (4.0 * LN_2)
GARMAN_KLASS = 2.0 * LN_2 - 1.0
YANG_ZHANG = 0.34 / (1.34 + 21.0 / 19.0)  #: weight of the bodies, for 20 bars
RISK_METRICS = 0.06  #: weight of the newest square


@compiled
def write(s, bar, out):
    end = s.end
    close, width = s.close[end - 1], s.high[end - 1] - s.low[end - 1]
    out.atr_pct_14 = s.atr / close
    out.bollinger_width_20 = 4.0 * s.spread_20 / s.mean_20
    out.range_atr = width * s.per_atr
    s.width_7.now[0] = width
    slide(s.width_7, s.count)
    out.range_contraction_7 = ratio(7.0 * width, s.width_7.total[0])
    _close_to_close(s, out)
    _ranges(s, close, out)


@compiled
def _close_to_close(s, out):
    own = s.log_return[s.end - 1]
    short, middle, long = s.returns_12, s.returns_24.total, s.returns_48.total
    short.now[OF_12.own], short.now[OF_12.square] = own, own * own
    slide(short, s.count)
    of_12 = scatter(short.total[OF_12.own], short.total[OF_12.square], 12) / 11.0
    of_48 = scatter(long[OF_48.own], long[OF_48.square], 48) / 47.0
    out.volatility_24 = s.volatility
    out.volatility_48 = math.sqrt(of_48) if of_48 > STILL * STILL else 0.0
    out.volatility_ratio_12_48 = math.sqrt(of_12 / of_48) if of_48 > STILL * STILL else math.nan
    push(s.spread_24, s.end, s.volatility)
    earlier = s.spread_24[s.end - 25]
    out.volatility_change_24 = log(s.volatility / earlier) if earlier * s.volatility > 0.0 else math.nan
    if s.count > 1:
        s.smooth_square += (own * own - s.smooth_square) * max(1.0 / (s.count - 1), RISK_METRICS)
    out.ewma_volatility = math.sqrt(s.smooth_square)
    squares = middle[OF_24.square]
    out.downside_share_24 = ratio(middle[OF_24.down], squares)
    out.jump_share_24 = max(1.0 - 0.5 * math.pi * middle[OF_24.bipower] / squares, 0.0) if squares > 0.0 else math.nan


@compiled
def _ranges(s, close, out):
    end = s.end
    log_close = s.log_close[end - 1]
    width, body = s.log_high - s.log_low, log_close - s.log_open
    gap = s.log_open - s.log_close[end - 2] if s.count > 1 else 0.0
    s.top_close_20.now[0] = close
    slide_highest(s.top_close_20, s.count)
    depth = close / s.top_close_20.total[0] - 1.0
    block = s.candles_20
    block.now[OF_20.parkinson] = width * width
    block.now[OF_20.klass] = 0.5 * width * width - GARMAN_KLASS * body * body
    block.now[OF_20.satchell] = (s.log_high - log_close) * (s.log_high - s.log_open) + (s.log_low - log_close) * (
        s.log_low - s.log_open
    )
    block.now[OF_20.gap], block.now[OF_20.gap_square] = gap, gap * gap
    block.now[OF_20.body], block.now[OF_20.body_square] = body, body * body
    block.now[OF_20.depth] = depth * depth
    slide(block, s.count)
    total = block.total
    satchell = max(total[OF_20.satchell], 0.0) / 20.0
    gaps = scatter(total[OF_20.gap], total[OF_20.gap_square], 20) / 19.0
    bodies = scatter(total[OF_20.body], total[OF_20.body_square], 20) / 19.0
    out.parkinson_20 = math.sqrt(total[OF_20.parkinson] * (PARKINSON / 20.0))
    out.garman_klass_20 = math.sqrt(max(total[OF_20.klass] / 20.0, 0.0))
    out.rogers_satchell_20 = math.sqrt(satchell)
    out.yang_zhang_20 = math.sqrt(gaps + YANG_ZHANG * bodies + (1.0 - YANG_ZHANG) * satchell)
    squares = total[OF_20.gap_square] + total[OF_20.body_square]
    out.gap_share_20 = ratio(total[OF_20.gap_square], squares)
    out.ulcer_20 = math.sqrt(total[OF_20.depth] / 20.0)
