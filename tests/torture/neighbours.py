"""How the executor's neighbours misbehave on a day: PostgreSQL hangs, the policy answers oddly, answers drip.

Drawn by a generator of their own, so that what else a seed says stays as it was.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

#: Of the clients in a day with drips, seconds: it would take too long otherwise
DEADLINE_S = 0.4
POLICY_DEADLINE_MS = 300
LOCKED = ("orders", "order_events", "intents", "fills", "positions", "halts", "decisions", "equity_days")


class HangKind(StrEnum):
    LOCK = "lock"  #: another session holds a table
    STOPPED = "stopped backend"  #: by SIGSTOP, so that not even its own time-outs work


@dataclass(frozen=True, slots=True)
class Hang:
    kind: HangKind
    after_s: float  #: of the wall clock, since the day began or the hang before ended
    lasts_s: float
    table: str = ""


@dataclass(frozen=True, slots=True)
class Neighbours:
    hangs: tuple[Hang, ...] = ()
    odd_answers: float = 0.0  #: share of the policy's answers that are spoiled
    policy_drips: float = 0.0  #: share of the policy's answers that come byte by byte
    broker_drips: float = 0.0  #: share of the broker's answers that do; in a market that waits, since it has to

    @property
    def policy_is_odd(self) -> bool:
        return self.odd_answers + self.policy_drips > 0


def neighbours_of(seed: int) -> Neighbours:
    """Those of a seed; three days in ten have honest ones."""
    rng = np.random.default_rng([seed, 9101])
    hangs = tuple(_hang(rng) for _ in range(int(rng.integers(1, 5)))) if rng.random() < 0.4 else ()
    odd = float(rng.uniform(0.1, 0.7)) if rng.random() < 0.3 else 0.0
    drips = float(rng.uniform(0.05, 0.3)) if rng.random() < 0.25 else 0.0
    broker = float(rng.uniform(0.002, 0.02)) if rng.random() < 0.25 and seed % 10 else 0.0
    return Neighbours(hangs, odd, drips, broker)


def _hang(rng: np.random.Generator) -> Hang:
    kind = HangKind(rng.choice(list(HangKind)))
    return Hang(kind, float(rng.uniform(0.1, 2.5)), float(rng.uniform(0.2, 2.5)), str(rng.choice(LOCKED)))
