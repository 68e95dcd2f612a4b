"""What stands in for features and policy: decisions by the seed, the same for every daemon of a schedule."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal

from pipelines.domain.bars import Bar
from pipelines.domain.outcomes import Outcome
from pipelines.domain.signals import Action, Decision, FeatureRow, Side
from serving.executor.bar_builder import ClosedBars
from serving.executor.policy_client import Answer, Served
from tests.torture.schedule import INTERVAL, PRODUCT, Schedule


class Closes:
    """Rows that carry a close and nothing else."""

    last_close = None

    def __init__(self, schedule: Schedule):
        self._traded = {instrument.symbol: instrument for instrument in schedule.traded}

    def update(self, closed: ClosedBars) -> list[FeatureRow]:
        return [
            FeatureRow(symbol, closed.close_time, bar.close, self._traded[symbol].tick_size, 1, "none", {})
            for symbol, bar in sorted(closed.bars.items())
        ]

    def carry(self, bar: Bar) -> Bar:
        """No share of a played day is split."""
        return bar

    def learn(self, outcome: Outcome) -> None:
        """No figure here knows of trades that have ended."""


class Whims:
    """Takes more than every second row, long or short; stops, targets and sizes are drawn, too."""

    def __init__(self, schedule: Schedule):
        self._seed, self._crowded = schedule.seed, schedule.crowd > 0
        self._traded = {instrument.symbol: instrument for instrument in schedule.traded}

    def describe(self) -> Served:
        return Served("whims", "none", INTERVAL, {}, PRODUCT, hold_bars=4)

    def decide(self, rows: Sequence[FeatureRow], equity: Decimal) -> Answer:
        return Answer(tuple(self._decision(row) for row in rows), "whims", 1.0)

    def _decision(self, row: FeatureRow) -> Decision:
        dice = hashlib.sha256(f"{self._seed} {row.symbol} {row.close_time.isoformat()}".encode()).digest()
        instrument = self._traded[row.symbol]
        side = Side.BUY if dice[0] % 2 else Side.SELL
        away, beyond = 0.001 + dice[1] / 255 * 0.006, 0.001 + dice[2] / 255 * 0.008
        takes = self._crowded or dice[3] % 5 < 3
        return Decision(
            symbol=row.symbol,
            close_time=row.close_time,
            action=Action.TAKE if takes else Action.SKIP,
            side=side if takes else None,
            quantity=(20 if self._crowded else 20 + dice[4] % 150) if takes else 0,
            reference_price=instrument.to_tick(row.close),
            stop=instrument.to_tick(row.close * (1 - away * side.sign)),
            target=instrument.to_tick(row.close * (1 + beyond * side.sign)),
            hold_bars=1 + dice[5] % 4,
            signal=0.5 * side.sign,
            probability=0.6,
            expected_return=0.001,
            stop_risk=0.4,
            views=(),
            reasons=("whim",),
            policy_version="whims",
            catalogue_hash="none",
            regime="range",
        )
