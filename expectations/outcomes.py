"""Closed trades with the facts of `pipelines/validate/events.py`: the laws of money and of time."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe

from expectations.rule import Severities, rule, suite_of

PAISA = 0.011  #: rupees by which sums of rounded figures may differ


def suite(chosen: Severities | None = None) -> ExpectationSuite:
    needed = ("symbol", "entered_at", "exited_at", "entry_price", "exit_price", "gross_inr", "charges_inr", "net_inr")
    flags = {
        "known": rule("from_the_future", "left at {exited_at:%Y-%m-%d %H:%M}, after the moment the run looks from"),
        "of_instrument": rule("unknown_symbol", "{symbol} is none of the instruments"),
        "in_time": rule("exit_before_entry", "left at {exited_at}, entered at {entered_at}"),
    }
    expectations = [
        *(gxe.ExpectColumnValuesToNotBeNull(column=column, meta=rule("missing_value", f"{column} is missing"))
          for column in needed),
        *(gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=0, strict_min=True, meta=rule("not_positive", f"{column} {{{column}:g}}")
        ) for column in ("quantity", "entry_price", "exit_price")),
        gxe.ExpectColumnValuesToBeBetween(
            column="charges_inr", min_value=0, meta=rule("not_positive", "charges of {charges_inr:g}")
        ),
        *(gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], meta=meta)
          for column, meta in flags.items()),
        gxe.ExpectColumnValuesToBeBetween(
            column="money_gap", max_value=PAISA,
            meta=rule("money_does_not_add_up", "net {net_inr:.2f} is not gross {gross_inr:.2f} less {charges_inr:.2f}"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="mfe_inr", min_value=0, meta=rule("wrong_excursion", "best gain {mfe_inr:.2f} is below zero")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="mae_inr", max_value=0, meta=rule("wrong_excursion", "worst loss {mae_inr:.2f} is above zero")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="copies_before", max_value=0, meta=rule("duplicate", "the same trade stands above")
        ),
    ]  # fmt: skip
    return suite_of("outcomes", expectations, chosen or {})
