"""Validated bars of all instruments together, with the facts: what every later stage may take for granted."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe

from expectations import raw_bars
from expectations.rule import Severities, rule, suite_of
from pipelines.domain.data_rules import Severity, severity_of


def suite(*, intraday: bool, max_overnight_gap: float, chosen: Severities | None = None) -> ExpectationSuite:
    """What is firm of the raw bars' rules, each time once, and no night that looks like an unadjusted split.

    Rules that a person chose to be told of only are left out: their rows are still there.
    """
    weighs = chosen or {}
    listed = raw_bars.firm(intraday=intraday)
    expectations = [one for one in listed if severity_of((one.meta or {})["rule"], weighs) is not Severity.WARN]
    expectations += [
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["symbol", "open_time"], meta=rule("duplicate")),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="close_time", column_B="open_time", meta=rule("close_before_open")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="overnight_gap", max_value=max_overnight_gap, meta=rule("unexplained_gap")
        ),
    ]
    return suite_of("validated_bars", expectations, weighs)
