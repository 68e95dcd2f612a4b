"""Asks the policy service. No answer within the deadline is no decision, and no decision is no order."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from pipelines.domain.bars import Interval
from pipelines.domain.errors import FeatureMismatch, ServiceUnavailable, TradeSageError
from pipelines.domain.orders import Product
from pipelines.domain.signals import Decision, FeatureRow
from serving.wire import decision_from_wire, row_to_wire


@dataclass(frozen=True)
class Served:
    """What the service says of its policy."""

    policy_version: str
    catalogue_hash: str
    interval: Interval
    regime_model: dict[str, Any]
    product: Product
    hold_bars: int
    stage: str = ""  #: of the ladder, that the service loads; "" if it does not say
    source: str = ""  #: of the bars it was made on: simulated | files | lake; "" if it is not known


@dataclass(frozen=True, slots=True)
class Answer:
    decisions: tuple[Decision, ...]
    policy_version: str
    latency_ms: float  #: from the request to the decisions in hand, as the executor saw it


class PolicyClient:
    def __init__(self, url: str, token: str, deadline_ms: int):
        self._url = url.rstrip("/")
        self.answers = True  #: whether the last request was answered
        self._client = httpx.Client(
            timeout=deadline_ms / 1000, headers={"Authorization": f"Bearer {token}"}, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    def describe(self) -> Served:
        """Raises ServiceUnavailable if there is no service, or no policy on its alias."""
        told = self._ask("describe", {})
        return Served(
            policy_version=told["policy_version"],
            catalogue_hash=told["catalogue_hash"],
            interval=Interval(told["interval"]),
            regime_model=told["regime_model"],
            product=Product(told["product"]),
            hold_bars=int(told["hold_bars"]),
            stage=str(told.get("alias") or ""),
            source=str(told.get("source") or ""),
        )

    def decide(self, rows: Sequence[FeatureRow], equity: Decimal) -> Answer:
        """Decisions on the rows of one close.

        Raises
        ------
        FeatureMismatch : if the policy wants other features.
        ServiceUnavailable : if there is no answer within the deadline.
        """
        began = time.perf_counter()
        content = {"rows": [row_to_wire(row) for row in rows], "equity_inr": str(equity)}
        told = self._ask("decide", content)
        decisions = tuple(decision_from_wire(decision) for decision in told["decisions"])
        return Answer(decisions, told["policy_version"], round((time.perf_counter() - began) * 1000, 3))

    def _ask(self, route: str, content: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._client.post(f"{self._url}/{route}", json=content)
        except httpx.HTTPError as error:
            self.answers = False
            raise ServiceUnavailable(
                f"the policy service at {self._url} does not answer {route} ({type(error).__name__}); start it: make up"
            ) from None
        try:
            told = answer.json()
        except ValueError:
            told = None
        self.answers = answer.status_code == 200
        if answer.status_code == 200 and isinstance(told, dict):
            return told
        line = told.get("error", "") if isinstance(told, dict) else ""
        if answer.status_code == 409:
            raise FeatureMismatch(line.removeprefix("FeatureMismatch: "))
        if answer.status_code in (400, 422):
            raise TradeSageError(f"the policy service refuses {route}: {line or answer.status_code}")
        raise ServiceUnavailable(
            f"the policy service at {self._url} answers {answer.status_code}: {line or 'no reason'}"
        )
