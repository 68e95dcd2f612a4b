"""Ticks of all instruments as they arrived, with the facts of `pipelines/validate/ticks.py`."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe

from expectations.raw_bars import HIGHEST_PRICE
from expectations.rule import Severities, rule, suite_of

MOST_SHARES = 1e11  #: of one instrument in a day; the largest of NSE's were some 1e9
OUTLIER = 0.25  #: deviation of a price from those just before that no market moves by between two ticks


def suite(chosen: Severities | None = None) -> ExpectationSuite:
    stamp = "{time:%Y-%m-%d %H:%M:%S}"
    flags = {
        "in_exchange_life": rule("before_exchange", f"{stamp} lies before the exchange's first session"),
        "on_session": rule("not_a_session", "the market was closed on {time:%Y-%m-%d}"),
        "in_hours": rule("outside_session", f"{stamp} is outside the session"),
        "in_whole_day": rule("stub_day", "{time:%Y-%m-%d} holds next to none of the ticks of the day before"),
        "unshifted": rule("shifted_stamps", "ticks of {time:%Y-%m-%d} lie off its session: stamps of another zone?"),
    }
    most = {
        "copies_before": (0, rule("duplicate", "the same tick stands above")),
        "total_back": (
            0,
            rule("total_steps_back", "the day's total {volume:.0f} is {total_back:.0f} below the one above"),
        ),
        "deviation": (OUTLIER, rule("price_outlier", "the price is {deviation:.0%} off those before")),
        "at_stamp": (1, rule("two_a_stamp", f"{{at_stamp}} different ticks at {stamp}")),
    }
    expectations = [
        *(gxe.ExpectColumnValuesToNotBeNull(column=column, meta=rule("missing_value", f"{column} is missing"))
          for column in ("time", "price")),
        gxe.ExpectColumnValuesToBeBetween(
            column="price", min_value=0, strict_min=True, meta=rule("not_positive", "price {price:g} is not above zero")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="price", max_value=HIGHEST_PRICE, meta=rule("not_finite", "a price of {price:g} cannot be")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="volume", min_value=0, meta=rule("not_positive", "the total {volume:g} is below zero")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="volume", max_value=MOST_SHARES, meta=rule("not_finite", "a total of {volume:g} shares cannot be")
        ),
        *(gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], meta=meta)
          for column, meta in flags.items()),
        *(gxe.ExpectColumnValuesToBeBetween(column=column, max_value=limit, meta=meta)
          for column, (limit, meta) in most.items()),
    ]  # fmt: skip
    return suite_of("ticks", expectations, chosen or {})
