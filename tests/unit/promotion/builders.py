"""Registrations as the journal records them, and a registry that shows aliases in memory."""

from datetime import datetime
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.verdicts import Verdict
from pipelines.promotion.registration import CONTENT, REGISTRATION, Registration

AT = datetime(2026, 10, 30, 16, 0, tzinfo=IST)
MODEL = "tradesage-policy"
SANE = Verdict("largest position", True, 0.08, 0.101, "share of equity", ("shadow", "paper", "canary", "champion"))
GOOD = Verdict("Sharpe ratio", True, 1.4, 0.5, "walk-forward", ("canary", "champion"))
#: What a good time at the stage before says
TRACK = (Verdict("trades", True, 60.0, 50.0, "", ("canary", "champion")),)


class Aliases:
    """What the ladder shows of itself, in memory."""

    model = MODEL

    def __init__(self) -> None:
        self._aliases: dict[str, str] = {}

    def aliases(self) -> dict[str, str]:
        return dict(self._aliases)

    def version_at(self, alias: str) -> str | None:
        return self._aliases.get(alias)

    def move(self, alias: str, version: str) -> None:
        self._aliases[alias] = version

    def remove(self, alias: str) -> None:
        self._aliases.pop(alias, None)


def a_registration(version: str = "3", **changes: Any) -> Registration:
    plain: dict[str, Any] = {
        "version": version,
        "at": AT,
        "registered_by": "airflow",
        "run": "training/manual__2026-10-30",
        "content": f"content of {version}",
        "fingerprint": f"fingerprint of {version}",
        "policy_version": "0123456789ab",
        "artifact": "file:///nowhere",
        "commit": "c" * 40,
        "source": "simulated",
        "bars": "a simulated market with a planted momentum edge",
        "planted_edge": "momentum",
        "interval": "15min",
        "params": "params",
        "metrics": {"sharpe": 1.4},
        "verdicts": (SANE, GOOD),
    }
    return Registration(**plain | changes)


def registered(journal: Any, version: str = "3", model: str = MODEL, **changes: Any) -> Registration:
    """Record a registration as `register_run` does."""
    registration = a_registration(version, **changes)
    journal.record_policy_event(
        model=model,
        version=version,
        from_stage=None,
        to_stage="candidate",
        actor=registration.registered_by,
        reason="registered",
        evidence={CONTENT: registration.content, REGISTRATION: registration.as_record()},
        at=registration.at,
    )
    return registration
