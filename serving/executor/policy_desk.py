"""The policy that decides: what it is, whether it may be traded by here, and when it is back after it was away.

Without a policy nothing is entered; what is open is managed all the same.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import structlog

from pipelines.domain.bars import Bar
from pipelines.domain.errors import FeatureMismatch, JournalAway, NotAllowed, ServiceUnavailable, TradeSageError
from pipelines.domain.orders import Product
from pipelines.domain.outcomes import Outcome
from pipelines.domain.signals import FeatureRow
from serving.executor.bar_builder import ClosedBars
from serving.executor.policy_client import Answer, PolicyClient, Served
from serving.executor.session import Session

LOG = structlog.get_logger("executor")
ASK_EVERY_S = 2.0  #: between two questions to a service that has no policy for us
LOOK_EVERY_S = 0.25  #: between two looks at what it answered
WITHOUT = "what is open is managed, nothing is entered: there is no policy"
Check = Callable[[Served], None]  #: raises a TradeSageError for a policy that may not be traded by


class PolicyDesk:
    """Asks the service and holds its policy against the rules of this place.

    Parameters
    ----------
    policy : client of the service
    checks : each is asked about every policy before it decides
    """

    def __init__(self, policy: PolicyClient, checks: Sequence[Check]):
        self._policy, self._checks = policy, checks
        self.served: Served | None = None  #: by which the session trades; None: by none
        self.changed = False  #: whether another policy answers, which needs other features, products or leave

    def ask(self, held: Collection[Product] = ()) -> Served:
        """What is served, if it may be traded by beside open positions of the products `held`.

        Raises
        ------
        ServiceUnavailable : if no policy is served. NotAllowed, FeatureMismatch : if it may not be traded by.
        """
        self.served, self.changed = None, False
        served = self._policy.describe()
        self.check(served, held)
        self.served = served
        return served

    def check(self, served: Served, held: Collection[Product] = ()) -> None:
        """Raises NotAllowed or FeatureMismatch if it may not be traded by."""
        for check in self._checks:
            check(served)
        if held and served.product not in held:
            raise NotAllowed(
                f"policy {served.policy_version} trades {served.product}, open are positions of "
                f"{', '.join(sorted(held))}; it enters once they are closed"
            )

    def decide(self, rows: Sequence[FeatureRow], equity: Decimal) -> Answer:
        """As the client's; another policy than the one that was described is held to the same checks first.

        Raises
        ------
        ServiceUnavailable, NotAllowed, FeatureMismatch : if it gives no decisions that may be acted on.
        """
        answer = self._policy.decide(rows, equity)
        if self.served is not None and answer.policy_version != self.served.policy_version:
            self._follow(answer.policy_version, self.served)
        return answer

    def _follow(self, version: str, before: Served) -> None:
        served = self._policy.describe()
        if served.policy_version != version:
            raise ServiceUnavailable(
                f"the policy service decides by {version} and describes {served.policy_version}: it is changing"
            )
        try:
            self.check(served)
            if replace(served, policy_version="", hold_bars=1) != replace(before, policy_version="", hold_bars=1):
                raise FeatureMismatch(f"policy {version} came in place of {before.policy_version}, with other terms")
        except TradeSageError:
            self.changed = True
            raise
        LOG.warning("another policy is served", policy=version, before=before.policy_version)
        self.served = served


class Away:
    """A time without a policy. The service is asked again in a thread of its own: one that hangs delays nobody.

    Parameters
    ----------
    policies : PolicyDesk
    describe : asks the service once
    not_before : of the monotonic clock; no new start is made earlier
    """

    def __init__(self, policies: PolicyDesk, describe: Callable[[], Served], not_before: float):
        self._policies, self._describe, self._not_before = policies, describe, not_before
        self._heard: Served | TradeSageError | None = None
        self._looked_at = 0.0
        self._ended = threading.Event()
        threading.Thread(target=self._ask, name="policy-lookout", daemon=True).start()

    def close(self) -> None:
        self._ended.set()

    def is_over(self, session: Session) -> bool:
        """Whether there is a policy again that may be traded by; if not, why is told."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now
        desk, heard = session.desk, self._heard
        try:
            if isinstance(heard, Served):
                self._policies.check(heard, {trade.product for trade in desk.trades.values()})
                if now >= self._not_before:
                    desk.no_policy = ""  # whoever takes over may find it again
                    return True
            elif heard is not None:
                raise heard
        except JournalAway:
            return False
        except TradeSageError as error:
            desk.no_policy = f"{type(error).__name__}: {error}"
        why = desk.no_policy
        desk.alarm(f"{WITHOUT}: {why}", lambda: desk.no_policy == why)
        return False

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                self._heard = self._describe()
            except TradeSageError as error:
                self._heard = error
            except Exception as error:  # whatever it answers, it is asked again
                self._heard = ServiceUnavailable(f"the policy service cannot be asked: {type(error).__name__}")
            self._ended.wait(ASK_EVERY_S)


class NoFeatures:
    """In place of features while nothing is decided."""

    last_close: datetime | None = None

    def update(self, closed: ClosedBars) -> list[FeatureRow]:
        """No rows: there is nobody to decide on them."""
        return []

    def carry(self, bar: Bar) -> Bar:
        """As it was traded."""
        return bar

    def learn(self, outcome: Outcome) -> None:
        """Nothing looks at it; the next features read it from the journal."""
