"""The fit against hmmlearn's own expectation step, and on observations that are hardly any."""

import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM

from pipelines.regimes import expectation
from pipelines.regimes.expectation import PortableHMM
from pipelines.regimes.fit import DegenerateFit, fit_past
from pipelines.regimes.labels import EXPECTED_COVARIANCE, EXPECTED_MEANS
from tests.unit.regimes.markets import closes_of

MOMENT = closes_of(1)[0].to_pydatetime()


def observations_of(bars: int, seed: int) -> np.ndarray:
    """Observations of four states that last, around where regimes are expected."""
    random = np.random.default_rng(seed)
    states = np.repeat(random.integers(0, 4, bars // 50 + 1), 50)[:bars]
    return EXPECTED_MEANS[states] * 1.5 + random.standard_normal((bars, 2)) * np.sqrt(np.diag(EXPECTED_COVARIANCE))


@pytest.mark.parametrize(("bars", "seed"), [(60, 1), (500, 2), (3_000, 3)])
def test_a_fit_is_that_of_hmmlearn_but_for_rounding(monkeypatch, bars, seed):
    observations = observations_of(bars, seed)
    ours = fit_past(observations, MOMENT)

    monkeypatch.setattr(expectation, "PortableHMM", GaussianHMM)
    theirs = fit_past(observations, MOMENT)

    for name in ("means", "covariances", "transition", "start"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-12)
    assert ours.log_likelihood == pytest.approx(theirs.log_likelihood, rel=1e-11)


def test_observations_that_no_state_expects_have_a_finite_likelihood():
    model = PortableHMM(n_components=4, covariance_type="full", init_params="")
    model.n_features = 2
    model.startprob_, model.transmat_ = np.full(4, 0.25), np.full((4, 4), 0.25)
    model.means_, model.covars_ = EXPECTED_MEANS.copy(), np.tile(EXPECTED_COVARIANCE, (4, 1, 1))

    assert np.isfinite(model.score(np.full((10, 2), 300.0)))


def test_observations_that_do_not_vary_are_refused():
    with pytest.raises(DegenerateFit, match="did not move"):
        fit_past(np.ones((100, 2)), MOMENT)
