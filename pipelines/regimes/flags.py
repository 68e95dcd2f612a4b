"""Flags beside the regime: what happens at this very close, whatever the regime. Defined here and nowhere else.

A flag is 1 (a breakout downwards -1), 0, or NaN while it cannot be judged: without volume no breakout, without news
nothing that news drives. It judges one bar by that bar and those before it, and it is raised for that bar alone.
"""

import math
from dataclasses import dataclass

from pipelines.domain.portable_math import exp, log
from pipelines.params import FlagParams
from pipelines.regimes.figures import BREAKOUT_BARS, BURST_BARS, PAST_BARS, Figures

FLAGS = ("breakout", "news_driven", "crash_anomaly")


@dataclass(frozen=True, slots=True)
class Flags:
    breakout: float  #: 1 or -1: the market, or most of its stocks, left the range with volume, up or down
    news_driven: float  #: 1: a burst of news or sentiment, and a move with it
    crash_anomaly: float  #: 1: a move, or a volatility, far beyond the past's robust scale


def flags_of(figures: Figures, params: FlagParams) -> Flags:
    return Flags(_breakout(figures, params), _news_driven(figures, params), _crash(figures, params))


def reasons(figures: Figures, params: FlagParams) -> tuple[str, ...]:
    """Each raised flag in one line, with the figures and limits that raised it."""
    flags, said = flags_of(figures, params), []
    if flags.breakout in (1.0, -1.0):
        side = "above" if flags.breakout > 0 else "below"
        share = figures.up if flags.breakout > 0 else figures.down
        broke = "yes" if _market_breaks(figures, params) else "no"
        said.append(
            f"breakout: market {side} its last {BREAKOUT_BARS} closes: {broke}, "
            f"volume {exp(figures.volume_surprise):.1f} times usual, limit {params.breakout_volume:g}; "
            f"{share:.0%} of the stocks broke out, limit {params.breakout_share:.0%}"
        )
    if flags.news_driven == 1.0:
        said.append(
            f"news driven: items {figures.news_z:+.1f}, sentiment {figures.sentiment_z:+.1f} deviations, limit "
            f"{params.news_z:g}; move over {BURST_BARS} bars {figures.burst_move_z:+.1f}, limit {params.news_move_z:g}"
        )
    if flags.crash_anomaly == 1.0:
        said.append(
            f"crash anomaly: move {figures.move_z:+.1f}, over {BURST_BARS} bars {figures.burst_move_z:+.1f} robust "
            f"deviations of the last {PAST_BARS} bars, limit {params.crash_z:g}; volatility "
            f"{figures.volatility_z:+.1f}, limit {params.crash_volatility_z:g}"
        )
    return tuple(said)


def _breakout(figures: Figures, params: FlagParams) -> float:
    if math.isnan(figures.volume_surprise) or math.isnan(figures.range_break) or math.isnan(figures.up):
        return math.nan
    if _market_breaks(figures, params):
        return figures.range_break
    if max(figures.up, figures.down) >= params.breakout_share and figures.up != figures.down:
        return 1.0 if figures.up > figures.down else -1.0
    return 0.0


def _market_breaks(figures: Figures, params: FlagParams) -> bool:
    return figures.range_break != 0.0 and figures.volume_surprise >= log(params.breakout_volume)


def _news_driven(figures: Figures, params: FlagParams) -> float:
    if math.isnan(figures.news_z) or math.isnan(figures.burst_move_z):
        return math.nan
    burst = figures.news_z >= params.news_z or abs(figures.sentiment_z) >= params.news_z
    return 1.0 if burst and abs(figures.burst_move_z) >= params.news_move_z else 0.0


def _crash(figures: Figures, params: FlagParams) -> float:
    if math.isnan(figures.move_z):
        return math.nan
    moved = abs(figures.move_z) >= params.crash_z or -figures.burst_move_z >= params.crash_z
    return 1.0 if moved or figures.volatility_z >= params.crash_volatility_z else 0.0
