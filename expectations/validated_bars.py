"""Validated bars of all instruments together, with the facts: what every later stage may take for granted."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe

from expectations import raw_bars


def suite(*, intraday: bool, max_overnight_gap: float) -> ExpectationSuite:
    """All of the raw bars' expectations, each time once, and no night that looks like an unadjusted split."""
    expectations = raw_bars.rules(intraday=intraday)
    expectations += [
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["symbol", "open_time"], meta={"rule": "duplicate"}),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="close_time", column_B="open_time", meta={"rule": "close_before_open"}
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="overnight_gap", max_value=max_overnight_gap, meta={"rule": "unexplained_gap"}
        ),
    ]
    return ExpectationSuite(name="validated_bars", expectations=expectations)
