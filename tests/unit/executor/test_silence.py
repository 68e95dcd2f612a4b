"""A broker that falls silent in mid-session: no new risk, nothing lost, and on it goes when it is back."""

from datetime import timedelta

from pipelines.domain.errors import BrokerSilent
from pipelines.domain.orders import OrderType
from serving.executor.session import Frame
from tests.unit.executor.memory_broker import MemoryBroker
from tests.unit.executor.test_session import CASH, OPEN, Market


class Mute(MemoryBroker):
    """Reads nothing out while `silent` is set; orders are not taken either."""

    silent = False

    def orders(self):
        if self.silent:
            raise BrokerSilent("the broker does not answer orders")
        return super().orders()


def test_while_the_broker_is_silent_nothing_is_sent_and_bars_go_on():
    broker = Mute(CASH, OPEN)
    market = Market(broker=broker)
    broker.silent = True
    market.session.on_connection_lost()

    market.decides(quantity=10)
    for _ in range(40):
        market.trades("100.00")

    assert broker.calls == []
    assert market.session.broker_silent
    assert market.session.alarms == ["the broker does not answer orders"]
    assert market.session.now > OPEN + timedelta(minutes=5)


def test_when_the_broker_is_back_its_books_are_read_and_the_position_is_protected():
    broker = Mute(CASH, OPEN)
    market = Market(broker=broker)
    market.decides(quantity=10)
    broker.silent = True
    market.trades("100.00")  # the entry fills unseen
    assert [call[1] for call in broker.calls] == ["entry"]

    broker.silent = False
    market.session.on_frame(Frame(market.at))

    assert market.working == [(OrderType.SL_M, 10)]
    assert not market.session.broker_silent


def test_a_day_that_turns_while_the_broker_is_silent_is_opened_when_it_is_back():
    broker = Mute(CASH, OPEN)
    market = Market(broker=broker, final=False)
    broker.silent = True
    market.at = OPEN + timedelta(days=3)
    market.session.on_frame(Frame(market.at))

    broker.silent = False
    market.decides(quantity=10)
    market.trades("100.00")

    assert market.working == [(OrderType.SL_M, 10)]


def test_an_entry_whose_bar_closed_in_the_silence_is_taken_back_after_it():
    broker = Mute(CASH, OPEN)
    market = Market(broker=broker)
    market.decides(quantity=10)
    broker.silent = True
    market.clock(OPEN + timedelta(minutes=5))
    assert market.session.broker_silent

    broker.silent = False
    market.clock(OPEN + timedelta(minutes=5, seconds=2))

    assert market.working == []
