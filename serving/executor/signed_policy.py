"""The journal's word on the policy that is about to trade with money; the service's own word is not enough."""

from collections.abc import Callable

from pipelines.domain.errors import NotAllowed
from pipelines.promotion.registration import Events
from pipelines.promotion.signatures import signatures
from serving.executor.kite_client import KITE
from serving.executor.policy_client import Served


def refuse_unsigned(root: str, served: Served, events: Callable[[], Events]) -> None:
    """Raises NotAllowed, in one line, if the journal does not know what trades with money at its stage.

    Parameters
    ----------
    events : reads the journal's policy events of the model; asked only where there is money
    """
    reason = why_unsigned(served, events()) if root == KITE else None
    if reason:
        raise NotAllowed(reason)


def why_unsigned(served: Served, events: Events) -> str | None:
    """Why the journal does not vouch for what the service says it serves, None if it does."""
    signature = signatures(events).get(served.stage)
    registration = signature.registration if signature else None
    if registration is None or registration.policy_version != served.policy_version:
        return (
            f"the journal has not recorded that policy {served.policy_version} stands at {served.stage}; "
            "restart the policy service, or see who answers in its place"
        )
    if not registration.is_real:
        return f"policy {served.policy_version} was made on {registration.bars}; it may never trade with money"
    return None
