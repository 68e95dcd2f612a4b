"""Faults of the broker's own books: orders taken twice, fills after a cancellation, books with too few rows."""

from collections.abc import Mapping

import numpy as np

from serving.exchange.faults import FaultKind

#: Shares of their opportunities that are hit where a schedule has them: the lowest and the highest
RATES: Mapping[FaultKind, tuple[float, float]] = {
    FaultKind.TAKEN_TWICE: (0.05, 0.3),
    FaultKind.FILL_AFTER_CANCEL: (0.3, 1.0),
    FaultKind.ORDER_BOOK_EMPTY: (0.002, 0.02),
    FaultKind.ORDER_BOOK_SHORT: (0.002, 0.02),
    FaultKind.TRADE_BOOK_EMPTY: (0.002, 0.02),
}


def odd_books(seed: int) -> dict[FaultKind, float]:
    """Of half of the schedules, by a generator of their own: the other draws of a seed stay what they were."""
    rng = np.random.default_rng([seed, 9011])
    if rng.random() < 0.5:
        return {}
    kinds = rng.choice(list(RATES), size=int(rng.integers(1, 4)), replace=False)
    return {FaultKind(kind): round(float(rng.uniform(*RATES[FaultKind(kind)])), 4) for kind in kinds}
