from pipelines.domain.orders import ENDED, INTENT_NEXT, IntentStatus, OrderStatus, may_move
from tests.unit.journal.records import an_order


def test_an_ended_intent_goes_nowhere():
    assert {IntentStatus.DONE, IntentStatus.CANCELLED, IntentStatus.REJECTED, IntentStatus.ABANDONED} == ENDED
    assert not any(may_move(ended, to) for ended in ENDED for to in IntentStatus)


def test_nothing_is_sent_that_was_not_planned():
    assert [status for status in IntentStatus if may_move(status, IntentStatus.SENT)] == [IntentStatus.PLANNED]


def test_every_status_has_its_arrows():
    assert set(INTENT_NEXT) == set(IntentStatus)


def test_an_ended_order_has_nothing_pending():
    assert an_order(quantity=10, filled_quantity=4).pending_quantity == 6
    assert an_order(quantity=10, filled_quantity=4, status=OrderStatus.CANCELLED).pending_quantity == 0
