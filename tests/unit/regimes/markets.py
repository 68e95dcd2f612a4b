"""Market tables whose regime is known at every close."""

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE

REGIMES = ("bull", "bear", "range", "high_volatility")
DRIFT = np.array([1.0, -1.0, 0.0, 0.0])  #: of the trend observation
VOLATILITY = np.array([1.0, 1.2, 0.6, 3.5])


def known_market(bars: int, seed: int, stay: float = 0.98) -> tuple[pd.DataFrame, pd.Series]:
    """A market table whose observations come from four Gaussian states, and the state's name at each close."""
    random = np.random.default_rng(seed)
    states = [2]
    while len(states) < bars:
        stays = random.random() < stay
        states.append(states[-1] if stays else int(random.integers(0, 4)))
    state = np.array(states)
    times = pd.date_range("2026-01-05 09:20", periods=bars, freq="5min", tz="Asia/Kolkata").astype(TIME_DTYPE)
    table = pd.DataFrame(
        {
            "close_time": times,
            "market_trend_72": 1.6 * DRIFT[state] + random.normal(0, 0.6, bars),
            "market_activity_72": 0.0005 * VOLATILITY[state] * np.exp(random.normal(0, 0.2, bars)),
        }
    )
    return table, pd.Series([REGIMES[i] for i in state])
