"""Regimes on simulated markets that no setting of theirs was chosen on: accuracy against the truth, and delay."""

from typing import Any

import numpy as np

from pipelines.domain.bars import Interval
from pipelines.ingest.simulated import simulate
from pipelines.params import Params
from pipelines.regimes.accuracy import regime_accuracy
from pipelines.regimes.filter import REGIMES
from pipelines.regimes.history import find_regimes
from pipelines.regimes.pulse import observed_instruments

SEEDS = range(201, 213)
DAYS = 150


def measure(params: Params) -> dict[str, Any]:
    """Means over the seeds; of the delay the median. In a market without a regime its recall is not counted."""
    told = [_told(params, seed) for seed in SEEDS]
    recalls = {
        f"recall_{name}": float(np.mean([one["by_regime"][name]["recall"] for one in told if _was(one, name)]))
        for name in REGIMES
    }
    return {
        "accuracy": float(np.mean([one["accuracy"] for one in told])),
        "mean_recall": float(np.mean([one["balanced"] for one in told])),
        **recalls,
        "changes_found": sum(one["found"] for one in told) / sum(one["changes"] for one in told),
        "delay_bars": float(np.median([one["delay_bars_median"] for one in told])),
        "markets": len(told),
    }


def _was(told: dict[str, Any], name: str) -> bool:
    return told["by_regime"][name]["closes"] > 0


def _told(params: Params, seed: int) -> dict[str, Any]:
    world = simulate(params.ingest.simulated.model_copy(update={"seed": seed, "days": DAYS}))
    volumes = observed_instruments(world.instruments.to_dict("records"))
    found = find_regimes(world.bars, volumes, world.news, Interval.MIN_5, params.regimes)
    return regime_accuracy(found.table, world.truth)
