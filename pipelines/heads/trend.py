"""Trend: goes with the drift of exponential means, fitted line and directional movement."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.heads.head import RuleHead, Values, share, side_words


class TrendHead(RuleHead):
    """Long in rising, short in falling trends; surer the stronger the trend (ADX)."""

    name: ClassVar[str] = "trend"
    uses: ClassVar[tuple[str, ...]] = ("ema_gap_20_50", "slope_24", "di_spread_14", "adx_14")

    def score(self, values: Values) -> Any:
        # Each over its spread in a random walk
        return (values["ema_gap_20_50"] / 1.0 + values["slope_24"] / 0.12 + values["di_spread_14"] / 0.11) / 3.0

    def conviction(self, values: Values) -> Any:
        return share((values["adx_14"] - 10.0) / 30.0)

    def figures(self, values: Mapping[str, float]) -> tuple[str, ...]:
        gap, slope = values["ema_gap_20_50"], values["slope_24"]
        return (
            f"the 20-bar mean is {abs(gap):.1f} ATR {side_words(gap, 'above', 'below')} the 50-bar mean",
            f"the line through 24 closes {side_words(slope, 'rises', 'falls')} {abs(slope):.2f} ATR a bar",
            f"trend strength ADX is {values['adx_14']:.0f} of 100",
        )
