"""News with the facts of `pipelines/validate/events.py`: dated, of a known instrument, told once."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe

from expectations.rule import Severities, rule, suite_of


def suite(chosen: Severities | None = None) -> ExpectationSuite:
    expectations = [
        gxe.ExpectColumnValuesToNotBeNull(column="time", meta=rule("missing_value", "time is missing")),
        gxe.ExpectColumnValuesToBeInSet(
            column="known", value_set=[True],
            meta=rule("from_the_future", "{time:%Y-%m-%d %H:%M} is after the moment the run looks from"),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="of_instrument", value_set=[True], meta=rule("unknown_symbol", "{symbol} is none of the instruments")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="copies_before", max_value=0, meta=rule("duplicate", "the same item stands above")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="sentiment", min_value=-1, max_value=1, meta=rule("not_a_sentiment", "sentiment {sentiment:g}")
        ),
    ]  # fmt: skip
    return suite_of("news", expectations, chosen or {})
