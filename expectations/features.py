"""Features of one instrument: one row a close, numbers without a scale; NaN while warming up is allowed."""

from collections.abc import Sequence

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation

SCALE = 1e4  #: features carry no rupees; anything beyond this is a level or a division by nearly nothing


def suite(feature_names: Sequence[str]) -> ExpectationSuite:
    expectations: list[Expectation] = [
        gxe.ExpectTableColumnsToMatchOrderedList(
            column_list=["symbol", "close_time", *feature_names], meta={"rule": "columns"}
        ),
        gxe.ExpectColumnValuesToBeUnique(column="close_time", meta={"rule": "duplicate"}),
        gxe.ExpectColumnValuesToNotBeNull(column="close_time", meta={"rule": "missing_value"}),
    ]
    for name in feature_names:
        expectations += [
            gxe.ExpectColumnValuesToBeOfType(column=name, type_="float64", meta={"rule": "type"}),
            gxe.ExpectColumnValuesToBeBetween(
                column=name, min_value=-SCALE, max_value=SCALE, meta={"rule": "not_scale_free"}
            ),
        ]
    return ExpectationSuite(name="features", expectations=expectations)
