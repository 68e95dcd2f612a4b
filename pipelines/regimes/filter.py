"""The forward filter: how probable each regime is, given the bars so far. One compiled step for history and market."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pipelines.domain.compiled import kept
from pipelines.domain.errors import BadInput
from pipelines.domain.portable_math import exp, log, whiteners
from pipelines.regimes.figures import Figures

#: The regimes, in the order of every array and table
REGIMES = ("bull", "bear", "range", "high_volatility")
UNKNOWN = "unknown"

#: What is observed of the market at a close, see `observe`
TREND_OBSERVATION, ACTIVITY_OBSERVATION = 0, 1
OBSERVATIONS = ("trend", "activity")
#: Observations further from the centre are cut here, in fit and filter alike: one crash must not be a state of its own
LIMITS = np.array([4.0, 2.0])


@dataclass(frozen=True)
class Fit:
    """A fitted model; states in the order of REGIMES, observations measured from the past's centre."""

    valid_from: datetime  #: first close it is used at; it was fitted on closes before
    bars: int  #: observations it was fitted on
    centre: np.ndarray  #: taken off the observations, shape (d,)
    start: np.ndarray  #: probabilities before the first bar, shape (4,)
    transition: np.ndarray  #: from row to column, shape (4, 4)
    means: np.ndarray  #: of the centred observations, shape (4, d)
    covariances: np.ndarray  #: shape (4, d, d)
    log_likelihood: float  #: per observation

    def as_dict(self) -> dict:
        return {
            "valid_from": self.valid_from.isoformat(),
            "bars": self.bars,
            "log_likelihood": self.log_likelihood,
        } | {name: getattr(self, name).tolist() for name in _ARRAYS}

    @classmethod
    def from_dict(cls, content: Mapping) -> "Fit":
        try:
            arrays = {name: np.array(content[name], dtype=np.float64) for name in _ARRAYS}
            moment = datetime.fromisoformat(content["valid_from"])
            return cls(moment, int(content["bars"]), log_likelihood=float(content["log_likelihood"]), **arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"the regime model is damaged ({error!r}); run the stage regimes again") from None

    def centred(self, observations: np.ndarray) -> np.ndarray:
        return np.clip(observations - self.centre, -LIMITS, LIMITS)


_ARRAYS = ("centre", "start", "transition", "means", "covariances")


class Filter:
    """A fit made ready for steps: each covariance is factored once, a step only multiplies."""

    def __init__(self, fit: Fit):
        self.fit = fit
        self._whiteners, self._constants = whiteners(np.ascontiguousarray(fit.covariances, dtype=np.float64))

    def step(self, before: np.ndarray | None, observation: np.ndarray) -> np.ndarray:
        """Probabilities after one more bar.

        Parameters
        ----------
        before : array of shape (4,) or None
            Probabilities after the bar before; None at the first one.
        observation : array of shape (d,), in market units, without NaN

        Returns
        -------
        Array of shape (4,) that sums to 1.
        """
        fit = self.fit
        known = before is not None
        after = np.empty(len(REGIMES))
        last = before if before is not None else fit.start
        _forward(
            last,
            known,
            fit.transition,
            fit.centre,
            LIMITS,
            fit.means,
            self._whiteners,
            self._constants,
            observation,
            after,
        )
        return after


@kept(error_model="numpy")
def _forward(before, known, transition, centre, limits, means, whiteners, constants, observation, after):
    """Prediction by the transitions, then Bayes' rule with the Gaussian densities; O(states² + states d²)."""
    states, dimensions = means.shape
    highest = -math.inf
    for j in range(states):
        expected = before[j]
        if known:
            expected = 0.0
            for i in range(states):
                expected += before[i] * transition[i, j]
        away = 0.0
        for row in range(dimensions):
            whitened = 0.0
            for column in range(row + 1):
                value = observation[column] - centre[column]
                value = min(max(value, -limits[column]), limits[column])
                whitened += whiteners[j, row, column] * (value - means[j, column])
            away += whitened * whitened
        after[j] = log(max(expected, 1e-300)) + constants[j] - 0.5 * away
        highest = max(highest, after[j])
    total = 0.0
    for j in range(states):
        after[j] = exp(after[j] - highest)
        total += after[j]
    for j in range(states):
        after[j] /= total


def observe(figures: Figures) -> np.ndarray:
    """Observations at one close, shape (d,); NaN while the figures warm up."""
    return np.array([figures.trend, figures.activity])


class RegimeFilter:
    """Regime probabilities close by close, each step under the fit in force at that close.

    Names stay with their states over a refit (see `labels`), so the probabilities are carried over by name: the new
    fit's first step takes the old fit's last word as what was known before.
    """

    def __init__(self, fits: Sequence[Fit]):
        self._waiting = sorted((Filter(fit) for fit in fits), key=lambda ready: ready.fit.valid_from)
        self._ready: Filter | None = None
        self._probabilities: np.ndarray | None = None

    def update(self, close_time: datetime, observation: np.ndarray) -> np.ndarray:
        """Probabilities at this close, shape (4,); NaN before the first fit and where the observation is not known."""
        while self._waiting and self._waiting[0].fit.valid_from <= close_time:
            self._ready = self._waiting.pop(0)
        if self._ready is None or not np.isfinite(observation).all():
            return np.full(len(REGIMES), math.nan)
        self._probabilities = self._ready.step(self._probabilities, observation)
        return self._probabilities


class StatedRegime:
    """The regime that is told: it changes only when another was probable enough for long enough.

    Parameters
    ----------
    min_confidence : probability that another regime needs
    min_stay_bars : known closes in a row on which it needs that, the last one included
    """

    def __init__(self, min_confidence: float, min_stay_bars: int):
        self._confidence, self._bars = min_confidence, min_stay_bars
        self._stated: int | None = None
        self._rival, self._held = -1, 0

    def update(self, probabilities: np.ndarray) -> str:
        """The regime to tell at this close; `unknown` where the probabilities are, which changes nothing else.

        The first one is told at once: there is none to stay with.
        """
        if np.isnan(probabilities[0]):
            return UNKNOWN
        likeliest = int(np.argmax(probabilities))
        if self._stated is None:
            self._stated = likeliest
        sure = likeliest != self._stated and probabilities[likeliest] >= self._confidence
        self._held = (self._held + 1 if likeliest == self._rival else 1) if sure else 0
        self._rival = likeliest
        if self._held >= self._bars:
            self._stated, self._held = likeliest, 0
        return REGIMES[self._stated]
