"""Features of all instruments by their profile, see `pipelines/validate/feature_tables.py`: one row a feature of each.

Features are numbers without a scale, one row a close; NaN while warming up is allowed.
"""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe

from expectations.rule import rule, suite_of

SCALE = 1e4  #: features carry no rupees; anything beyond this is a level or a division by nearly nothing


def suite() -> ExpectationSuite:
    where = "{symbol}: {feature}"
    most = {
        "repeated": rule("duplicate", f"{where} repeats {{repeated}} times"),
        "missing": rule("missing_value", f"{where} is missing in {{missing}} rows"),
        "unordered": rule("out_of_order", f"{where} steps back {{unordered}} times"),
        "infinite": rule("infinite", f"{where} is infinite in {{infinite}} rows"),
    }
    expectations = [
        gxe.ExpectColumnValuesToBeInSet(column="wanted", value_set=[True],
                                        meta=rule("columns", f"{where} is {{found}}, but no column of the catalogue")),
        gxe.ExpectColumnValuesToBeInSet(column="there", value_set=[True],
                                        meta=rule("columns", f"{where} is not in the table")),
        gxe.ExpectColumnValuesToBeInSet(column="type_fits", value_set=[True],
                                        meta=rule("type", f"{where} is {{found}}, not {{type_wanted}}")),
        *(gxe.ExpectColumnValuesToBeBetween(column=column, max_value=0, meta=meta) for column, meta in most.items()),
        gxe.ExpectColumnValuesToBeBetween(
            column="largest", max_value=SCALE, meta=rule("not_scale_free", f"{where} reaches {{largest:g}}")
        ),
    ]  # fmt: skip
    return suite_of("features", expectations, {})
