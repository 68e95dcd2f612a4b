"""What an account still holds when it is to be flat: ours alone."""

from pipelines.domain.signals import Side
from serving.executor.standing import standing_at
from tests.unit.executor.memory_broker import MemoryBroker
from tests.unit.executor.test_session import CASH, OPEN, Market
from tests.unit.executor.test_trades_beside_us import by_hand


def test_what_others_hold_in_other_stocks_keeps_no_account_from_being_flat():
    broker = MemoryBroker(CASH, OPEN)
    by_hand(broker, Side.BUY, 300, "500.00", symbol="RELIANCE")

    standing = standing_at(broker, tags=(), held=())

    assert standing.flat
    assert standing.others == {"RELIANCE": 300}


def test_shares_of_ours_are_found_before_the_journal_knows_of_them():
    market = Market()
    market.decides(quantity=10)
    market.broker.trade("TCS", CASH * 0 + 100, market.at)
    tags = {intent.tag for intent in market.journal.intents("T1")}

    standing = standing_at(market.broker, tags, held=())

    assert standing.shares == {"TCS": 10}
    assert not standing.flat
