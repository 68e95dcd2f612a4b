"""How a session is taken up: after a death, and for the sake of another policy."""

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


@pytest.mark.parametrize("held", [True, False])
def test_books_are_read_and_stops_placed_before_features_are_prepared(held):
    course: list[str] = []
    session = SimpleNamespace(start=lambda at: course.append("stops"))
    basis = SimpleNamespace(lacking="features are being prepared") if held else None
    daemon = SimpleNamespace(
        account="A",
        place=SimpleNamespace(now=lambda: None),
        vitals=SimpleNamespace(begin=lambda *_: None),
        _preparation=SimpleNamespace(to_protect=lambda now: basis, patiently=lambda act, session: act()),
        _session_of=lambda basis: session,
        _trade_on=lambda: course.append("features"),
    )
    daemon._protect = lambda: Daemon._protect(cast(Daemon, daemon))

    Daemon._trade(cast(Daemon, daemon))

    assert course == (["stops", "features"] if held else ["features"])
