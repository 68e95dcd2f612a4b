"""Raw bars of all instruments together, with the facts of `pipelines/validate/facts.py`: which rows are fit for use.

The order matters: a row is set aside for the first rule it breaks. Reasons are filled with the row's own values.
"""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation

from expectations.rule import Severities, rule, suite_of
from pipelines.domain.bars import PRICE_COLUMNS

#: Deviation of any price from the closes just before that no market moves by, up and down
OUTLIER = {True: 0.25, False: 0.60}  #: by whether bars are intraday; 2020's worst two weeks stay well inside
HIGHEST_PRICE = 1e7  #: rupees or points; no share or index of NSE has come near it
JUMP = 20.0  #: robust z of a bar's move; markets have fat tails, one bar in some ten thousands is beyond it
VOLUME = 8.0  #: robust z of the logarithm of a bar's volume
REPEATS = 3  #: bars equal to the share and the paisa in a row, a flat bar without volume never counts
STANDS = 0.02  #: share by which the market may move while a price stands
DISAGREEMENT = 0.001  #: share by which prices of two sources may differ


def suite(*, intraday: bool, chosen: Severities | None = None) -> ExpectationSuite:
    return suite_of("raw_bars", [*firm(intraday=intraday), *_doubts()], chosen or {})


def outlier_suite(*, intraday: bool, chosen: Severities | None = None) -> ExpectationSuite:
    """For what is left once wild bars are gone: a second one in a row hid behind the first."""
    return suite_of("wild_bars", _neighbours(OUTLIER[intraday]), chosen or {})


def firm(*, intraday: bool) -> list[Expectation]:
    """What is wrong, whatever the market did: validated bars are held to it again."""
    return [*_values(), *_time(), *_logic(), *_place(), *_neighbours(OUTLIER[intraday])]


def _values() -> list[Expectation]:
    columns = ("symbol", "open_time", "close_time", *PRICE_COLUMNS, "volume", "source", "source_row")
    expectations: list[Expectation] = [
        gxe.ExpectTableColumnsToMatchSet(column_set=list(columns), exact_match=False, meta=rule("columns"))
    ]
    types = dict.fromkeys(PRICE_COLUMNS, "float64") | {"volume": "int64", "source_row": "int64"}
    for column, kind in types.items():
        expectations.append(gxe.ExpectColumnValuesToBeOfType(column=column, type_=kind, meta=rule("type")))
    for column in ("open_time", *PRICE_COLUMNS):
        meta = rule("missing_value", f"{column} is missing")
        expectations.append(gxe.ExpectColumnValuesToNotBeNull(column=column, meta=meta))
    for column in PRICE_COLUMNS:
        meta = rule("not_positive", f"{column} {{{column}:g}} is not above zero")
        expectations.append(gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, strict_min=True, meta=meta))
    meta = rule("not_positive", "volume {volume} is below zero")
    expectations.append(gxe.ExpectColumnValuesToBeBetween(column="volume", min_value=0, meta=meta))
    meta = rule("not_finite", "a price of {highest_price:g} cannot be")
    expectations.append(gxe.ExpectColumnValuesToBeBetween(column="highest_price", max_value=HIGHEST_PRICE, meta=meta))
    return expectations


def _time() -> list[Expectation]:
    moment = "{open_time:%Y-%m-%d %H:%M}"
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="copies_before", max_value=0, meta=rule("duplicate", "the same row stands above")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="rows_at_time",
            max_value=1,
            meta=rule("conflicting_rows", f"{{rows_at_time}} different rows for {moment}"),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="in_order",
            value_set=[True],
            meta=rule("out_of_order", f"{moment} is out of its place; sort the file by time"),
        ),
    ]


def _logic() -> list[Expectation]:
    expectations: list[Expectation] = [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="high",
            column_B="low",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            meta=rule("high_below_low", "high {high:g} is below low {low:g}"),
        )
    ]
    for above, below in (("high", "open"), ("high", "close"), ("open", "low"), ("close", "low")):
        inner = below if above == "high" else above
        reason = f"{inner} {{{inner}:g}} is outside low {{low:g}} to high {{high:g}}"
        expectations.append(
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=above,
                column_B=below,
                or_equal=True,
                ignore_row_if="either_value_is_missing",
                meta=rule("price_outside_range", reason),
            )
        )
    return expectations


def _place() -> list[Expectation]:
    reasons = {
        "on_session": ("not_a_session", "the market was closed on {open_time:%Y-%m-%d}"),
        "in_hours": ("outside_session", "{open_time:%H:%M} is outside the session of {open_time:%Y-%m-%d}"),
        "unshifted": (
            "shifted_stamps",
            "rows of {open_time:%Y-%m-%d} lie off its session: stamps of another zone?",
        ),
        "on_grid": ("off_grid", "{open_time:%Y-%m-%d %H:%M:%S} is not the start of a bar"),
        "listed": ("not_listed", "{symbol} was not listed on {open_time:%Y-%m-%d}"),
    }
    return [
        gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], meta=rule(name, reason))
        for column, (name, reason) in reasons.items()
    ]


def _neighbours(outlier: float) -> list[Expectation]:
    meta = rule("price_outlier", "a price is {deviation:.0%} off the closes before")
    return [gxe.ExpectColumnValuesToBeBetween(column="deviation", max_value=outlier, meta=meta)]


def _doubts() -> list[Expectation]:
    """What is odd rather than wrong: unless a person says otherwise it is told and stays."""
    limits = {
        "jump_z": (JUMP, rule("price_jump", "the bar moved {jump_z:.0f} times what is usual")),
        "volume_z": (VOLUME, rule("volume_outlier", "volume {volume} lies {volume_z:.0f} robust deviations off")),
        "repeats": (REPEATS - 1, rule("stale_run", "the same bar stands {repeats} times above")),
        "stands": (STANDS, rule("price_stands", "the price stood while the market moved by {stands:.1%}")),
        "disagreement": (DISAGREEMENT, rule("sources_disagree", "another source differs by {disagreement:.2%}")),
    }
    return [
        gxe.ExpectColumnValuesToBeInSet(column="on_tick", value_set=[True],
                                        meta=rule("tick_size", "a price is off the tick of {open_time:%Y-%m-%d}")),
        *(gxe.ExpectColumnValuesToBeBetween(column=column, max_value=most, meta=meta)
          for column, (most, meta) in limits.items()),
    ]  # fmt: skip
