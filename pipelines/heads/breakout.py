"""Breakout: a close outside the channel of earlier bars."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipelines.heads.head import RuleHead, Values, share, side_words


class BreakoutHead(RuleHead):
    """Long above the highest high of 20 (and 55) earlier bars, short below the lowest low; surer on a wide bar."""

    name: ClassVar[str] = "breakout"
    uses: ClassVar[tuple[str, ...]] = ("donchian_20", "donchian_55", "range_atr")

    def score(self, values: Values) -> Any:
        return 2.0 * _outside(values["donchian_20"]) + 2.0 * _outside(values["donchian_55"])

    def conviction(self, values: Values) -> Any:
        return share(values["range_atr"] / 2.0)

    def figures(self, values: Mapping[str, float]) -> tuple[str, ...]:
        return (
            _place_in_words(values["donchian_20"], 20),
            _place_in_words(values["donchian_55"], 55),
            f"the bar spans {values['range_atr']:.1f} ATR",
        )


def _outside(place: Any) -> Any:
    """How far beyond the channel, in its half widths; 0 inside."""
    return np.sign(place) * np.maximum(np.abs(place) - 1.0, 0.0)


def _place_in_words(place: float, bars: int) -> str:
    if abs(place) <= 1.0:
        return f"the close is within the channel of {bars} bars"
    return (
        f"the close is {abs(place) - 1.0:.2f} half widths {side_words(place, 'above', 'below')} the {bars}-bar channel"
    )
