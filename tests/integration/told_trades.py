"""A trade as backtest and executor tell it, in one form: prices, shares, charges by item, money, reason."""

from decimal import Decimal
from typing import Any

from pipelines.domain.outcomes import Outcome

MONEY = ("gross_inr", "net_inr", "mfe_inr", "mae_inr")


def as_told(outcome: Outcome) -> tuple[Any, ...]:
    """By the backtest; the first is the time of the exit."""
    return (
        str(outcome.exited_at),
        outcome.side.value,
        outcome.quantity,
        outcome.entry_price,
        outcome.exit_price,
        outcome.exit_reason.value,
        outcome.hold_bars,
        {item: Decimal(amount) for item, amount in outcome.charges.items()},
        tuple(getattr(outcome, name) for name in MONEY),
    )


def as_told_by_executor(told: dict[str, Any]) -> tuple[Any, ...]:
    """By the executor, from what its process printed; in the order of `as_told`."""
    return (
        told["exited_at"],
        told["side"],
        told["quantity"],
        Decimal(told["entry_price"]),
        Decimal(told["exit_price"]),
        told["exit_reason"],
        told["hold_bars"],
        {item: Decimal(amount) for item, amount in told["charges"].items()},
        tuple(Decimal(told[name]) for name in MONEY),
    )
