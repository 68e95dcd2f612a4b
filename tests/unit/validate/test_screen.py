"""What the screen hides from Great Expectations would have met its expectations."""

import numpy as np
import pandas as pd
import pytest
from great_expectations import expectations as gxe

from expectations import raw_bars, validated_bars
from pipelines.domain.bars import Interval
from pipelines.validate import judge as judging
from pipelines.validate.facts import with_doubts, with_facts
from pipelines.validate.judge import examine
from pipelines.validate.screen import in_doubt
from tests.unit.validate.builders import a_raw_market, some_bars


def a_faulty_market(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    bars = pd.concat([some_bars(), some_bars("DEF")], ignore_index=True).astype({"volume": "float64"})
    for column in ("open", "high", "low", "close", "volume"):
        at = rng.choice(len(bars), 12, replace=False)
        bars.loc[at, column] = rng.choice([-1.0, 0.0, np.inf, 1e9, 17.5], 12)
    bars.loc[rng.choice(len(bars), 5), "close"] = np.nan
    bars["volume"] = bars["volume"].clip(-1e9, 1e9).astype("int64")
    bars = pd.concat([bars, bars.iloc[[30, 31]], bars.iloc[[40]].assign(volume=9)], ignore_index=True)
    instruments = a_raw_market(some_bars(), some_bars("DEF")).instruments
    return with_doubts(with_facts(bars, Interval.DAY, instruments), instruments)


@pytest.mark.parametrize("seed", range(2))
def test_the_verdict_is_that_of_great_expectations_on_all_rows(seed, monkeypatch):
    facts = a_faulty_market(seed)
    suites = [raw_bars.suite(intraday=False), validated_bars.suite(intraday=False, max_overnight_gap=0.15)]

    screened = [examine(facts, suite) for suite in suites]

    monkeypatch.setattr(judging, "in_doubt", lambda table, config: np.ones(len(table), dtype=bool))
    whole = [examine(facts, suite) for suite in suites]
    assert len(whole[0].broken) > 10
    for one, other in zip(screened, whole, strict=True):
        assert one.broken == other.broken
        for mine, theirs in zip(one.verdict.results, other.verdict.results, strict=True):
            figures = ("element_count", "unexpected_count", "unexpected_percent", "missing_percent")
            assert [mine.result.get(name) for name in figures] == pytest.approx(
                [theirs.result.get(name) for name in figures], nan_ok=True
            )


def test_what_the_screen_does_not_know_it_doubts_wholly():
    table = pd.DataFrame({"symbol": ["A", "B"]})

    doubted = in_doubt(table, gxe.ExpectColumnValuesToMatchRegex(column="symbol", regex="A").configuration)

    assert doubted.all()


def test_an_expectation_that_nearly_all_rows_break_is_counted_wholly():
    bars = pd.concat([some_bars(interval=Interval.MIN_1, count=15_000)])
    bars[["open", "high", "low", "close"]] += 0.013
    instruments = a_raw_market(bars).instruments
    facts = with_doubts(with_facts(bars, Interval.MIN_1, instruments), instruments)

    broken = {one.rule: one for one in examine(facts, raw_bars.suite(intraday=True)).broken}

    assert len(broken["tick_size"].rows) == 15_000
