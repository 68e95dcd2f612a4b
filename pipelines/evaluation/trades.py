"""Closed trades of a backtest, and their table."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from pipelines.domain.charges import Charges
from pipelines.domain.outcomes import Outcome

ZERO = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed trade and the judgement it was entered on."""

    outcome: Outcome
    entry_row: int  #: row of the panel whose open was paid
    exit_row: int
    share: float  #: value at entry over equity at the decision
    signal: float
    probability: float
    expected_return: float


def trades_table(trades: Sequence[Trade]) -> pd.DataFrame:
    """One row a trade; rupees as float64, exact to the paisa."""
    rows = []
    for trade in trades:
        o = trade.outcome
        rows.append(
            {
                "symbol": o.symbol,
                "side": o.side.value,
                "quantity": o.quantity,
                "entered_at": o.entered_at,
                "entry_price": float(o.entry_price),
                "exited_at": o.exited_at,
                "exit_price": float(o.exit_price),
                "exit_reason": o.exit_reason.value,
                "gross_inr": float(o.gross_inr),
                **{f"charges_{item}": float(amount) for item, amount in o.charges.items()},
                "charges_inr": float(sum(o.charges.values(), ZERO)),
                "net_inr": float(o.net_inr),
                "mfe_inr": float(o.mfe_inr),
                "mae_inr": float(o.mae_inr),
                "hold_bars": o.hold_bars,
                "share": trade.share,
                "signal": trade.signal,
                "probability": trade.probability,
                "expected_return": trade.expected_return,
                "regime": o.regime,
                "policy_version": o.policy_version,
            }
        )
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else TRADE_COLUMNS)


TRADE_COLUMNS = [
    "symbol", "side", "quantity", "entered_at", "entry_price", "exited_at", "exit_price", "exit_reason", "gross_inr",
    *(f"charges_{item}" for item in Charges().as_dict()),
    "charges_inr", "net_inr", "mfe_inr", "mae_inr", "hold_bars", "share", "signal", "probability", "expected_return",
    "regime", "policy_version",
]  # fmt: skip
