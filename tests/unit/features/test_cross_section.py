import numpy as np
import pandas as pd
import pytest

from pipelines.features.closes import compare_stocks
from pipelines.features.cross_section import FEW, SAME_FIGURE, SCORE_OF
from pipelines.features.survey import FIGURES

SCORED = np.flatnonzero(SCORE_OF >= 0)


def some_figures(stocks: int, seed: int) -> np.ndarray:
    """Figures of one close in coarse steps, so that many are equal, and a tenth of them unknown."""
    chance = np.random.default_rng(seed)
    values = chance.integers(-4, 5, (stocks, len(FIGURES))) * 0.25
    return np.where(chance.random(values.shape) < 0.1, np.nan, values)


@pytest.mark.parametrize("stocks", [3, 8, FEW, FEW + 1, 60])
def test_ranks_and_scores_are_those_of_pandas_for_few_stocks_and_for_many(stocks):
    figures = some_figures(stocks, seed=stocks)

    found = compare_stocks(figures[np.newaxis])[0]

    frame = pd.DataFrame(figures)
    known = frame.count()
    ranks = ((frame.rank() - 1) / (known - 1)).where(known >= 3, axis=1)
    scores = ((frame - frame.mean()) / frame.std()).where((known >= 3) & (frame.std() > 0), axis=1)
    np.testing.assert_allclose(found[:, : len(FIGURES)], ranks.to_numpy(), atol=1e-12)
    np.testing.assert_allclose(found[:, len(FIGURES) :], scores.to_numpy()[:, SCORED], atol=1e-12)


@pytest.mark.parametrize("stocks", [8, 60])
def test_rounding_makes_no_difference_between_ranks(stocks):
    figures = some_figures(stocks, seed=1)
    rounded = figures + np.random.default_rng(2).uniform(-0.1, 0.1, figures.shape) * SAME_FIGURE

    plain, moved = compare_stocks(figures[np.newaxis]), compare_stocks(rounded[np.newaxis])

    np.testing.assert_array_equal(plain[..., : len(FIGURES)], moved[..., : len(FIGURES)])
