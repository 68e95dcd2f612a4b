import pandas as pd
import pytest

from pipelines.domain.bars import TIME_DTYPE
from pipelines.regimes.accuracy import regime_accuracy


def a_table(regimes):
    times = pd.date_range("2026-01-05 09:20", periods=len(regimes), freq="5min", tz="Asia/Kolkata").astype(TIME_DTYPE)
    return pd.DataFrame({"close_time": times, "regime": regimes})


def test_accuracy_recall_precision_and_delay_are_counted_by_closes():
    true = ["bull"] * 4 + ["bear"] * 4 + ["range"] * 2
    told = ["unknown", "bull", "bull", "bull", "bull", "bull", "bear", "bear", "bear", "bear"]

    measured = regime_accuracy(a_table(told), a_table(true))

    assert measured["closes"] == 9
    assert measured["accuracy"] == pytest.approx(5 / 9)
    assert measured["by_regime"]["bear"] == {"closes": 4, "recall": 0.5, "precision": 0.5}
    assert measured["by_regime"]["high_volatility"] == {"closes": 0, "recall": None, "precision": None}
    assert measured["balanced"] == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    assert (measured["changes"], measured["found"]) == (2, 1)
    assert measured["delay_bars_median"] == 2.0
    assert measured["stated_changes"] == 1


def test_a_truth_of_every_symbol_counts_each_close_once():
    true = a_table(["bull", "bear"])

    measured = regime_accuracy(a_table(["bull", "bear"]), pd.concat([true, true]))

    assert measured["closes"] == 2
    assert measured["delay_bars_median"] == 0.0


def test_nothing_stated_is_nothing_judged():
    measured = regime_accuracy(a_table(["unknown"] * 3), a_table(["bull"] * 3))

    assert (measured["closes"], measured["accuracy"], measured["delay_bars_median"]) == (0, None, None)
