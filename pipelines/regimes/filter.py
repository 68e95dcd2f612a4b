"""The forward filter: how probable each regime is, given the bars so far. One step for history and market."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pipelines.domain.errors import BadInput

#: The regimes, in the order of every array and table
REGIMES = ("bull", "bear", "range", "high_volatility")
UNKNOWN = "unknown"

#: What is observed of the market at a close, see `observe`
RETURN_OBSERVATION, VOLATILITY_OBSERVATION = 0, 1
OBSERVATIONS = ("market_trend_72", "log_market_activity_72")
#: Standardised observations are cut here, in fit and filter alike: one crash must not be a state of its own
LIMIT = 4.0


@dataclass(frozen=True)
class Fit:
    """A fitted model; states in the order of REGIMES, observations standardised with the past's figures."""

    valid_from: datetime  #: first close it is used at; it was fitted on closes before
    bars: int  #: observations it was fitted on
    mean: np.ndarray  #: of the observations, shape (d,)
    scale: np.ndarray  #: their standard deviation, shape (d,)
    start: np.ndarray  #: probabilities before the first bar, shape (4,)
    transition: np.ndarray  #: from row to column, shape (4, 4)
    means: np.ndarray  #: of the standardised observations, shape (4, d)
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

    def standardise(self, observations: np.ndarray) -> np.ndarray:
        return np.clip((observations - self.mean) / self.scale, -LIMIT, LIMIT)


_ARRAYS = ("mean", "scale", "start", "transition", "means", "covariances")


class Filter:
    """A fit made ready for steps: Gaussian densities by precision, transitions as they are."""

    def __init__(self, fit: Fit):
        self.fit = fit
        self._precision = np.linalg.inv(fit.covariances)
        _, logarithms = np.linalg.slogdet(fit.covariances)
        self._constant = -0.5 * (fit.means.shape[1] * math.log(2.0 * math.pi) + logarithms)

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
        expected = self.fit.start if before is None else before @ self.fit.transition
        away = self.fit.standardise(observation) - self.fit.means
        densities = self._constant - 0.5 * np.einsum("si,sij,sj->s", away, self._precision, away)
        weights = np.log(np.maximum(expected, 1e-300)) + densities
        weights = np.exp(weights - weights.max())
        return weights / weights.sum()


def observe(market: Mapping[str, float]) -> np.ndarray:
    """Observations of one market row, shape (d,); NaN while the market's features warm up."""
    activity = market["market_activity_72"]
    return np.array([market["market_trend_72"], math.log(activity) if activity > 0.0 else math.nan])


class RegimeFilter:
    """Regime probabilities close by close, each step under the fit in force at that close."""

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


class OnlineRegimes:
    """Regime probabilities live, from the plain numbers of `model.json`.

    Given the whole history it gives what the batch gave; a live market, later than all fits, is filtered by the last.
    """

    def __init__(self, model: Mapping):
        if tuple(model.get("regimes", ())) != REGIMES or tuple(model.get("observations", ())) != OBSERVATIONS:
            raise BadInput(
                f"the regime model has regimes {model.get('regimes')} seen by {model.get('observations')}, "
                f"this release knows {REGIMES} by {OBSERVATIONS}; run the stage regimes again"
            )
        self._filter = RegimeFilter([Fit.from_dict(fit) for fit in model["fits"]])

    def update(self, close_time: datetime, market: Mapping[str, float]) -> dict[str, float]:
        """Probability by regime, summing to 1; NaN before the model or the market's features are ready.

        An empty `market` (a close without bars) leaves all as it was and gives NaN.
        """
        observation = observe(market) if market else np.full(len(OBSERVATIONS), math.nan)
        return dict(zip(REGIMES, self._filter.update(close_time, observation).tolist(), strict=True))


def most_probable(probabilities: Mapping[str, float]) -> str:
    """Name of the regime with the highest probability; `unknown` while there is none."""
    if math.isnan(probabilities[REGIMES[0]]):
        return UNKNOWN
    return max(REGIMES, key=lambda name: probabilities[name])
