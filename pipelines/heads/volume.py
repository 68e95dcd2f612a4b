"""Volume: goes where the traded volume goes; silent where the source has none."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.heads.head import RuleHead, Values, share


class VolumeHead(RuleHead):
    """Long when volume trades in rising bars, short when in falling ones; surer the more is traded."""

    name: ClassVar[str] = "volume"
    uses: ClassVar[tuple[str, ...]] = ("obv_20", "mfi_14", "relative_volume_20")

    def score(self, values: Values) -> Any:
        # Each over its spread in a random walk
        return 0.5 * (values["obv_20"] / 0.25 + (values["mfi_14"] - 50.0) / 17.0)

    def conviction(self, values: Values) -> Any:
        return share(values["relative_volume_20"] / 2.0)

    def figures(self, values: Mapping[str, float]) -> tuple[str, ...]:
        flow = values["obv_20"]
        return (
            f"of 20 bars' volume {abs(flow):.0%} more traded in {'rising' if flow >= 0 else 'falling'} bars",
            f"money flow index is {values['mfi_14']:.0f} of 100",
            f"volume is {values['relative_volume_20']:.1f} times its 20-bar mean",
        )
