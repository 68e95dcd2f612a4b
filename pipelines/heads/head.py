"""What a head is, and what all rule heads have in common: a score of features, a threshold, a slope."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from pipelines.domain.errors import FeatureMismatch

Values = Mapping[str, Any]  #: by feature, a float or an array of shape (n,)


class Head(Protocol):
    """A specialist: features in, direction in [-1, 1] and confidence in [0, 1] out, with reasons."""

    @property
    def name(self) -> str: ...

    @property
    def uses(self) -> tuple[str, ...]: ...

    def views(self, table: pd.DataFrame) -> pd.DataFrame: ...

    def reasons(self, values: Mapping[str, float], direction: float) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class RuleHead(ABC):
    """A head that follows a rule: beyond a threshold its direction grows with a score, at a slope.

    The score is in units in which a random walk has a spread of about 1; above zero is long.
    """

    threshold: float  #: scores nearer to zero than this are no view
    slope: float  #: how fast the direction reaches 1

    name: ClassVar[str]
    uses: ClassVar[tuple[str, ...]]

    @abstractmethod
    def score(self, values: Values) -> Any:
        """What the features say, signed; a float or an array as the values are."""

    @abstractmethod
    def conviction(self, values: Values) -> Any:
        """How far the circumstances speak for such a trade, in [0, 1]."""

    @abstractmethod
    def figures(self, values: Mapping[str, float]) -> tuple[str, ...]:
        """The figures behind the score in plain words."""

    def views(self, table: pd.DataFrame) -> pd.DataFrame:
        """View of every row.

        Parameters
        ----------
        table : DataFrame of shape (n, any), with the columns in `uses`

        Returns
        -------
        DataFrame of shape (n, 2), same index
            `direction` in [-1, 1], below zero is short; `confidence` in [0, 1]. Both are 0 where a feature is NaN or
            the score is within the threshold.

        Raises
        ------
        FeatureMismatch : if a column is missing.
        """
        missing = [name for name in self.uses if name not in table.columns]
        if missing:
            raise FeatureMismatch(
                f"head {self.name} wants {missing}, which the table does not have; build features anew"
            )
        values = {name: table[name].to_numpy(np.float64) for name in self.uses}
        known = np.isfinite(np.array(list(values.values()))).all(axis=0)
        with np.errstate(invalid="ignore"):
            score = np.where(known, self.score(values), 0.0)
            conviction = np.where(known, self.conviction(values), 0.0)
        direction = np.sign(score) * np.tanh(self.slope * np.maximum(np.abs(score) - self.threshold, 0.0))
        confidence = np.where(direction == 0.0, 0.0, conviction)
        return pd.DataFrame({"direction": direction + 0.0, "confidence": confidence}, index=table.index)

    def reasons(self, values: Mapping[str, float], direction: float) -> tuple[str, ...]:
        """Why the head thinks so, in plain words with figures; one sentence when it has no view."""
        unknown = [name for name in self.uses if not np.isfinite(values.get(name, np.nan))]
        if unknown:
            return (f"no view: {', '.join(unknown)} not known yet",)
        if direction == 0.0:
            score = float(self.score(values))
            return (f"no view: score {score:+.2f} is within the threshold of {self.threshold:g}",)
        return self.figures(values)


def share(value: Any) -> Any:
    """The value cut to [0, 1]."""
    return np.clip(value, 0.0, 1.0)


def side_words(value: float, above: str, below: str) -> str:
    return above if value >= 0 else below
