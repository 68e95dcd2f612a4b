"""What a head is, and what all rule heads have in common: a score of features, a threshold, a slope."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from pipelines.domain.errors import FeatureMismatch
from pipelines.domain.portable_math import tanhs

Values = Mapping[str, Any]  #: by feature, a float or an array of shape (n,)


class Head(Protocol):
    """A specialist: features in, direction in [-1, 1] and confidence in [0, 1] out, with reasons."""

    @property
    def name(self) -> str: ...

    @property
    def uses(self) -> tuple[str, ...]: ...

    def view_arrays(self, columns: Values) -> tuple[np.ndarray, np.ndarray]: ...

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

    def view_arrays(self, columns: Values) -> tuple[np.ndarray, np.ndarray]:
        """Direction and confidence of every row.

        Parameters
        ----------
        columns : mapping with the features in `uses`, each of shape (n,); a DataFrame will do

        Returns
        -------
        two arrays of shape (n,)
            Direction in [-1, 1], below zero is short; confidence in [0, 1]. Both are 0 where a feature is NaN or the
            score is within the threshold.

        Raises
        ------
        FeatureMismatch : if a feature is missing.
        """
        missing = [name for name in self.uses if name not in columns]
        if missing:
            raise FeatureMismatch(
                f"head {self.name} wants {missing}, which the table does not have; build features anew"
            )
        values = {name: np.asarray(columns[name], np.float64) for name in self.uses}
        known = np.isfinite(np.array(list(values.values()))).all(axis=0)
        with np.errstate(invalid="ignore"):
            score = np.where(known, self.score(values), 0.0)
            conviction = np.where(known, self.conviction(values), 0.0)
        direction = np.sign(score) * tanhs(self.slope * np.maximum(np.abs(score) - self.threshold, 0.0))
        confidence = np.where(direction == 0.0, 0.0, conviction)
        return direction + 0.0, confidence

    def views(self, table: pd.DataFrame) -> pd.DataFrame:
        """`view_arrays` as a DataFrame of shape (n, 2): `direction` and `confidence`, with the table's index."""
        direction, confidence = self.view_arrays(table)
        return pd.DataFrame({"direction": direction, "confidence": confidence}, index=table.index)

    def reasons(self, values: Mapping[str, float], direction: float) -> tuple[str, ...]:
        """Why the head thinks so, in plain words with figures; one sentence when it has no view."""
        unknown = [name for name in self.uses if not math.isfinite(values.get(name, math.nan))]
        if unknown:
            return (f"no view: {', '.join(unknown)} not known yet",)
        if direction == 0.0:
            score = float(self.score(values))
            return (f"no view: score {score:+.2f} is within the threshold of {self.threshold:g}",)
        return self.figures(values)


def share(value: Any) -> Any:
    """The value cut to [0, 1]."""
    return np.minimum(np.maximum(value, 0.0), 1.0)  # as np.clip, which takes five times as long on a single row


def side_words(value: float, above: str, below: str) -> str:
    return above if value >= 0 else below
