"""Wild packets and ticks that stop, drawn beside the other faults by a generator of their own."""

from collections.abc import Mapping

import numpy as np

from serving.exchange.faults import Fault, FaultKind, Faults

#: Shares of their opportunities that these hit where a schedule has them: the lowest and the highest
RATES: Mapping[FaultKind, tuple[float, float]] = {
    FaultKind.TICK_STAMP: (0.02, 0.2),
    FaultKind.TICK_TRADE_TIME: (0.02, 0.2),
    FaultKind.TICK_VOLUME: (0.02, 0.2),
    FaultKind.TICKS_STOP: (0.001, 0.006),
}
STOPS_S = 4.0  #: at most, of the wall clock: a daemon of these schedules connects anew after two seconds
PARAMS = {"executor.ticks_stop_after_seconds": 2}


def wild_rates(seed: int) -> dict[FaultKind, float]:
    """By kind; three schedules in four have some."""
    rng = np.random.default_rng([seed, 9004])
    if rng.random() < 0.25:
        return {}
    kinds = rng.choice(list(RATES), size=int(rng.integers(1, len(RATES) + 1)), replace=False)
    return {FaultKind(kind): round(float(rng.uniform(*RATES[FaultKind(kind)])), 4) for kind in kinds}


def arm_for_life(faults: Faults, seed: int, rates: Mapping[FaultKind, float], life: int) -> None:
    """What a daemon meets first: a wild price in its first packets; some see their ticks stop a little later."""
    if not RATES.keys() & rates.keys():
        return
    rng = np.random.default_rng([seed, 9005, life])
    if rng.random() < 0.7:
        faults.arm(Fault(FaultKind.TICK_OUT_OF_RANGE, count=int(rng.integers(1, 3))))
    if rng.random() < 0.3:
        seconds = round(float(rng.uniform(0.5, STOPS_S)), 2)
        faults.arm(Fault(FaultKind.TICKS_STOP, after=int(rng.integers(0, 40)), seconds=seconds))
