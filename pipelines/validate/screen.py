"""Which rows can break an expectation at all.

Great Expectations copies a table several times for every expectation; of a million rows nearly all plainly meet them.
So it is shown only the rows in doubt. The screen may doubt a sound row, never the other way round: what it does not
know it doubts wholly.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Flags = npt.NDArray[np.bool_]

#: Expectations on columns and types, for which any row will do
OF_THE_TABLE = (
    "expect_table_columns_to_match_set",
    "expect_table_columns_to_match_ordered_list",
    "expect_column_values_to_be_of_type",
)


def in_doubt(table: pd.DataFrame, config: Any) -> Flags:
    """Of each row, whether it may break the expectation.

    Parameters
    ----------
    config : the expectation's configuration: `type` and `kwargs` in Great Expectations' words
    """
    kwargs = config.kwargs
    if config.type in OF_THE_TABLE or not all(column in table for column in columns_of(kwargs)):
        return np.zeros(len(table), dtype=bool)
    if config.type == "expect_column_values_to_not_be_null":
        return table[kwargs["column"]].isna().to_numpy()
    if config.type == "expect_column_values_to_be_between":
        return _outside(table[kwargs["column"]], kwargs)
    if config.type == "expect_column_values_to_be_in_set":
        return _not_among(table[kwargs["column"]], kwargs["value_set"])
    if config.type == "expect_column_pair_values_a_to_be_greater_than_b":
        a, b = table[kwargs["column_A"]], table[kwargs["column_B"]]
        return ~(a >= b if kwargs.get("or_equal") else a > b).to_numpy()
    if config.type == "expect_column_values_to_be_unique":
        return table[kwargs["column"]].duplicated(keep=False).to_numpy()
    if config.type == "expect_compound_columns_to_be_unique":
        return table.duplicated(kwargs["column_list"], keep=False).to_numpy()
    return np.ones(len(table), dtype=bool)


def columns_of(kwargs: Any) -> list[str]:
    """The columns an expectation speaks of."""
    named = [kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs]
    return [*named, *kwargs.get("column_list", ())]


def _outside(column: pd.Series, kwargs: Any) -> Flags:
    values = column.to_numpy()
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    found = np.zeros(len(values), dtype=bool)
    if low is not None:
        found |= values <= low if kwargs.get("strict_min") else values < low
    if high is not None:
        found |= values >= high if kwargs.get("strict_max") else values > high
    return found


def _not_among(column: pd.Series, values: list[Any]) -> Flags:
    if values == [True] and column.dtype == bool:
        return ~column.to_numpy()
    return ~column.isin(values).to_numpy()
