"""When a session is taken up anew for the sake of another policy."""

from types import SimpleNamespace
from typing import cast

import pytest

from serving.executor.daemon import Daemon
from serving.executor.session import Session


@pytest.mark.parametrize("away", [None, "the journal does not answer"])
def test_another_policy_waits_for_a_journal_that_is_away(away):
    policies = SimpleNamespace(changed=True)
    daemon = SimpleNamespace(journal=SimpleNamespace(away=away), _preparation=SimpleNamespace(policies=policies))

    anew = Daemon._decides_otherwise(cast(Daemon, daemon), cast(Session, None), None)

    assert anew is (away is None)
