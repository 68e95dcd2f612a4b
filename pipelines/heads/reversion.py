"""Reversion: expects a stretched price to come back."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.heads.head import RuleHead, Values, share, side_words


class ReversionHead(RuleHead):
    """Short what is stretched upwards, long what is stretched downwards; less sure where price travels straight."""

    name: ClassVar[str] = "reversion"
    uses: ClassVar[tuple[str, ...]] = ("z_score_20", "rsi_14", "efficiency_24")

    def score(self, values: Values) -> Any:
        # RSI is spread by about 10 points around 50
        return -0.5 * (values["z_score_20"] + (values["rsi_14"] - 50.0) / 10.0)

    def conviction(self, values: Values) -> Any:
        return share(1.0 - values["efficiency_24"])

    def figures(self, values: Mapping[str, float]) -> tuple[str, ...]:
        stretch, rsi = values["z_score_20"], values["rsi_14"]
        return (
            f"the close is {abs(stretch):.1f} deviations {side_words(stretch, 'above', 'below')} its 20-bar mean",
            f"RSI is {rsi:.0f} of 100",
            f"{values['efficiency_24']:.0%} of the path of 24 bars went one way",
        )
