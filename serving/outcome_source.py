"""The source `outcomes`: trades that were closed, from the journal, for features of an instrument's recent outcomes.

Only accounts that a person names are read: a paper account that played a simulated market must not speak of a real one.
Figures become float64 here, as features want them; exact money stays in the journal.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.domain.outcomes import Outcome
from pipelines.domain.signals import Decision
from pipelines.ingest.kinds import OUTCOME_COLUMNS, typed
from pipelines.ingest.source import Fetched, Known

_SAME = ("symbol", "side", "regime", "policy_version", "exit_reason")
_MONEY = ("entry_price", "exit_price", "gross_inr", "net_inr", "mfe_inr", "mae_inr")


class Trades(Protocol):
    """What is used of the journal."""

    def accounts(self) -> list[str]: ...

    def outcomes(self, account: str) -> list[Outcome]: ...

    def decision(self, decision_id: str) -> Decision: ...


@dataclass
class OutcomeSource:
    """Closed trades of some accounts, each known from its exit."""

    journal: Trades
    accounts: Sequence[str]
    known: Known | None = None
    name: str = "outcomes"

    def fetch(self, since: date | None, until: date) -> Iterator[Fetched]:
        """One piece for each account, without `since` from the last day that is known of it.

        Raises
        ------
        BadInput : if the journal has no account of that name.
        JournalAway : if PostgreSQL does not answer.
        """
        there = self.journal.accounts()
        for account in self.accounts:
            if account not in there:
                raise BadInput(f"the journal has no account {account}; it has {', '.join(there) or 'none'}")
            first = since or (self.known and self.known.last_day("outcomes", account)) or date.min
            rows = [
                self._row(account, outcome)
                for outcome in self.journal.outcomes(account)
                if first <= outcome.exited_at.astimezone(IST).date() <= until
            ]
            if rows:
                table = typed(pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS)), "outcomes")
                digest = hashlib.sha256(table.to_json(date_format="iso", double_precision=15).encode()).hexdigest()
                yield Fetched("outcomes", account, table, None, f"journal of {account}", digest)

    def _row(self, account: str, outcome: Outcome) -> dict[str, object]:
        return {
            "account": account,
            "decision_id": outcome.decision_id or "",
            **{name: str(getattr(outcome, name)) for name in _SAME},
            "pattern": self._pattern(outcome),
            "quantity": outcome.quantity,
            "entered_at": outcome.entered_at.astimezone(IST),
            "exited_at": outcome.exited_at.astimezone(IST),
            **{name: float(getattr(outcome, name)) for name in _MONEY},
            "charges_inr": float(sum(outcome.charges.values())),
            "hold_bars": outcome.hold_bars,
        }

    def _pattern(self, outcome: Outcome) -> str:
        """The head whose view spoke loudest for the trade's side; empty if none did, or no decision is known."""
        if outcome.decision_id is None:
            return ""
        views = self.journal.decision(outcome.decision_id).views
        spoke = {view.head: outcome.side.sign * view.direction * view.confidence for view in views}
        loudest = max(spoke, key=lambda head: spoke[head], default="")
        return loudest if spoke.get(loudest, 0.0) > 0 else ""
