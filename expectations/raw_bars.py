"""Raw bars of all instruments together, with the facts of `pipelines/validate/facts.py`: which rows are fit for use.

The order matters: a row is set aside for the first rule it breaks. Reasons are filled with the row's own values.
"""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation

from pipelines.domain.bars import PRICE_COLUMNS

#: Deviation of any price from the closes just before that no market moves by, up and down
OUTLIER = {True: 0.25, False: 0.60}  #: by whether bars are intraday; 2020's worst two weeks stay well inside


def suite(*, intraday: bool) -> ExpectationSuite:
    return ExpectationSuite(name="raw_bars", expectations=rules(intraday=intraday))


def rules(*, intraday: bool) -> list[Expectation]:
    return [*_values(), *_time(), *_logic(), *_context(OUTLIER[intraday])]


def _values() -> list[Expectation]:
    columns = ("symbol", "open_time", "close_time", *PRICE_COLUMNS, "volume", "source", "source_row")
    expectations: list[Expectation] = [
        gxe.ExpectTableColumnsToMatchSet(column_set=list(columns), exact_match=False, meta={"rule": "columns"})
    ]
    types = dict.fromkeys(PRICE_COLUMNS, "float64") | {"volume": "int64", "source_row": "int64"}
    for column, kind in types.items():
        expectations.append(gxe.ExpectColumnValuesToBeOfType(column=column, type_=kind, meta={"rule": "type"}))
    for column in ("open_time", *PRICE_COLUMNS):
        meta = {"rule": "missing_value", "reason": f"{column} is missing"}
        expectations.append(gxe.ExpectColumnValuesToNotBeNull(column=column, meta=meta))
    for column in PRICE_COLUMNS:
        meta = {"rule": "not_positive", "reason": f"{column} {{{column}:g}} is not above zero"}
        expectations.append(gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, strict_min=True, meta=meta))
    meta = {"rule": "not_positive", "reason": "volume {volume} is below zero"}
    expectations.append(gxe.ExpectColumnValuesToBeBetween(column="volume", min_value=0, meta=meta))
    return expectations


def _time() -> list[Expectation]:
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="copies_before",
            max_value=0,
            meta={"rule": "duplicate", "reason": "the same row stands above"},
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="rows_at_time",
            max_value=1,
            meta={"rule": "conflicting_rows", "reason": "{rows_at_time} different rows for {open_time:%Y-%m-%d %H:%M}"},
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="in_order",
            value_set=[True],
            meta={
                "rule": "out_of_order",
                "reason": "{open_time:%Y-%m-%d %H:%M} is out of its place; sort the file by time",
            },
        ),
    ]


def _logic() -> list[Expectation]:
    expectations: list[Expectation] = [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="high",
            column_B="low",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            meta={"rule": "high_below_low", "reason": "high {high:g} is below low {low:g}"},
        )
    ]
    for above, below in (("high", "open"), ("high", "close"), ("open", "low"), ("close", "low")):
        inner = below if above == "high" else above
        expectations.append(
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=above,
                column_B=below,
                or_equal=True,
                ignore_row_if="either_value_is_missing",
                meta={
                    "rule": "price_outside_range",
                    "reason": f"{inner} {{{inner}:g}} is outside low {{low:g}} to high {{high:g}}",
                },
            )
        )
    return expectations


def _context(outlier: float) -> list[Expectation]:
    reasons = {
        "on_session": ("not_a_session", "the market was closed on {open_time:%Y-%m-%d}"),
        "in_hours": ("outside_session", "{open_time:%H:%M} is outside the session of {open_time:%Y-%m-%d}"),
        "on_grid": ("off_grid", "{open_time:%Y-%m-%d %H:%M:%S} is not the start of a bar"),
    }
    return [
        *(
            gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], meta={"rule": rule, "reason": reason})
            for column, (rule, reason) in reasons.items()
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="deviation",
            max_value=outlier,
            meta={"rule": "price_outlier", "reason": "a price is {deviation:.0%} off the closes before"},
        ),
    ]
