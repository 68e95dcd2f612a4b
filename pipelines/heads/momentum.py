"""Momentum: what has moved goes on moving."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipelines.heads.head import RuleHead, Values, side_words

_HORIZONS = (12, 24, 48)


class MomentumHead(RuleHead):
    """Goes with the returns of several horizons and with strength against the market; surer when horizons agree."""

    name: ClassVar[str] = "momentum"
    uses: ClassVar[tuple[str, ...]] = ("return_12", "return_24", "return_48", "relative_strength_48")

    def score(self, values: Values) -> Any:
        own = (values["return_12"] + values["return_24"] + values["return_48"]) / 3.0
        return 0.75 * own + 0.25 * values["relative_strength_48"]

    def conviction(self, values: Values) -> Any:
        return abs(sum(np.sign(values[f"return_{bars}"]) for bars in _HORIZONS)) / len(_HORIZONS)

    def figures(self, values: Mapping[str, float]) -> tuple[str, ...]:
        moved = (
            f"over {bars} bars it {side_words(values[f'return_{bars}'], 'rose', 'fell')} "
            f"{abs(values[f'return_{bars}']):.1f} volatilities"
            for bars in _HORIZONS
        )
        ahead = values["relative_strength_48"]
        return (*moved, f"{abs(ahead):.1f} volatilities {side_words(ahead, 'ahead of', 'behind')} the market")
