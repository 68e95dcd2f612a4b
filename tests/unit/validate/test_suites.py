"""The suites refuse what they say they refuse."""

from expectations import validated_bars
from pipelines.domain.bars import Interval
from pipelines.validate.facts import with_facts
from pipelines.validate.judge import judge
from tests.unit.validate.builders import a_raw_market, some_bars


def test_a_gap_left_in_validated_bars_breaks_their_suite():
    bars = some_bars()
    bars.loc[100:, ["open", "high", "low", "close"]] /= 2
    facts = with_facts(bars, Interval.DAY, a_raw_market(bars).instruments)

    broken = judge(facts, validated_bars.suite(intraday=False, max_overnight_gap=0.15))

    assert [(one.rule, one.rows) for one in broken] == [("unexplained_gap", (100,))]
