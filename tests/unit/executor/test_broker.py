"""The thin layer over the official client: what it reads, and what it makes of refusals, silence and odd rows."""

import json
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace

import pytest
from kiteconnect import KiteConnect
from kiteconnect.exceptions import InputException, NetworkException, OrderException, TokenException
from requests import ConnectionError, ReadTimeout

from pipelines.domain.bars import IST
from pipelines.domain.errors import BrokerSilent, LoggedOut
from pipelines.domain.orders import Intent, IntentStatus, OrderStatus, OrderType, Product, Purpose
from pipelines.domain.signals import Side
from serving.executor.broker import KiteBroker, Refused
from serving.executor.kite_client import client
from serving.executor.kite_rows import ENDED, WORKING, booked, is_known, status_from, traded
from serving.executor.pacing import OrderPacer
from tests.conftest import SHARED_DATA

ORDER = {
    "order_id": "261030000000001",
    "tag": "TS1",
    "exchange": "NSE",
    "tradingsymbol": "TCS",
    "transaction_type": "BUY",
    "quantity": 10,
    "filled_quantity": 4,
    "order_type": "SL-M",
    "product": "MIS",
    "status": "TRIGGER PENDING",
    "trigger_price": 98.05,
    "order_timestamp": "2026-10-30 09:15:37",
    "exchange_timestamp": None,
}
TRADE = {
    "trade_id": "1",
    "order_id": "261030000000001",
    "exchange": "NSE",
    "tradingsymbol": "TCS",
    "transaction_type": "BUY",
    "product": "MIS",
    "quantity": 4,
    "average_price": 100.05,
    "fill_timestamp": "2026-10-30 09:15:37",
    "order_timestamp": "09:15:37",
}
MOCKS = SHARED_DATA / "kite" / "mocks"


@pytest.fixture(autouse=True)
def pauses(monkeypatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


class Kite:
    """Answers each call with what is next in its list; an exception is raised. What was asked is kept."""

    root = "http://127.0.0.1:1"

    def __init__(self, **answers: list):
        self._answers, self.asked = answers, []

    def __getattr__(self, name):
        def call(*_, **given):
            self.asked.append(name)
            answers = self._answers[name]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        call.__name__ = name
        return call


def an_intent(purpose: Purpose = Purpose.ENTRY) -> Intent:
    return Intent(
        "i1",
        "TS1",
        "d1",
        purpose,
        "TCS",
        Side.BUY,
        10,
        OrderType.MARKET,
        Product.MIS,
        None,
        None,
        IntentStatus.SENT,
        datetime(2026, 10, 30, 9, 20, tzinfo=IST),
    )


# --- reading ---


def test_books_read_quickly_are_those_the_official_client_reads():
    official, ours = KiteConnect("key"), client("key", "http://127.0.0.1:1")
    for rows, read in (([ORDER], booked), ([TRADE], traded)):
        slow = official._format_response(json.loads(json.dumps(rows)))
        quick = ours._format_response(json.loads(json.dumps(rows)))

        assert [read(row) for row in quick] == [read(row) for row in slow]

    assert booked(ORDER).placed_at == datetime(2026, 10, 30, 9, 15, 37, tzinfo=IST)
    assert (booked(ORDER).trigger_price, traded(TRADE).price) == (Decimal("98.05"), Decimal("100.05"))


def test_an_order_that_changed_since_the_last_look_is_read_anew():
    books = [[ORDER], [dict(ORDER)], [ORDER | {"filled_quantity": 10, "status": "COMPLETE"}]]
    broker = KiteBroker(SimpleNamespace(orders=lambda: books.pop(0)), None)

    first, same, done = broker.orders()[0], broker.orders()[0], broker.orders()[0]

    assert same is first
    assert (done.filled_quantity, done.status) == (10, OrderStatus.COMPLETE)


def test_candles_read_quickly_are_those_the_official_client_reads():
    candles = {
        "candles": [["2026-10-30T09:15:00+0530", 1.0, 2.0, 0.5, 1.5, 10], ["2026-10-30T09:20:00+0530"] + [1] * 6]
    }

    quick = client("key", "http://127.0.0.1:1")._format_historical(candles)

    assert quick == KiteConnect("key")._format_historical(candles)


@pytest.mark.parametrize("word", sorted(WORKING | set(ENDED)))
def test_every_status_of_kite_has_its_meaning(word):
    ended = {"COMPLETE", "REJECTED", "CANCELLED", "CANCELLED AMO", "LAPSED"}

    assert is_known(word)
    assert status_from(word).ended == (word in ended)


def test_an_unknown_status_works_on_and_is_told_once():
    broker = KiteBroker(Kite(orders=[[ORDER | {"status": "PONDERING"}], [ORDER | {"status": "PONDERING", "x": 1}]]))

    found = [*broker.orders(), *broker.orders()]

    assert [order.status for order in found] == [OrderStatus.WORKING] * 2
    assert broker.alarms == ["order 261030000000001 has the status 'PONDERING', which we do not know; it may yet fill"]


def test_an_external_order_of_another_type_exchange_or_product_disturbs_nothing():
    rows = [
        ORDER | {"order_id": "1", "tag": None, "order_type": "TWAP", "status": "OPEN"},
        ORDER | {"order_id": "2", "tag": None, "exchange": "CDS", "product": "NRML", "tradingsymbol": "USDINR21JUNFUT"},
        ORDER | {"order_id": "3", "tag": None, "product": "MTF"},
        ORDER,
    ]

    broker = KiteBroker(Kite(orders=[rows]))

    assert [(order.order_id, order.order_type) for order in broker.orders()] == [
        ("1", OrderType.LIMIT),
        (ORDER["order_id"], OrderType.SL_M),
    ]
    assert broker.alarms == []


@pytest.mark.parametrize("field", ["order_id", "quantity", "transaction_type", "order_timestamp", "tradingsymbol"])
@pytest.mark.parametrize("how", ["missing", "none"])
def test_a_row_that_cannot_be_read_is_named_and_the_rest_is_read(field, how):
    odd = {key: value for key, value in ORDER.items() if key != field} | ({field: None} if how == "none" else {})
    good = ORDER | {"order_id": "2"}

    broker = KiteBroker(Kite(orders=[[odd, good]]))
    found = broker.orders()

    assert [order.order_id for order in found] == ["2"]
    assert len(broker.alarms) == 1
    assert "of the broker's order book cannot be read" in broker.alarms[0]
    assert "\n" not in broker.alarms[0]


def test_a_row_that_was_read_before_and_is_odd_now_counts_as_it_was():
    broker = KiteBroker(Kite(orders=[[ORDER], [ORDER | {"quantity": None}]]))
    before = broker.orders()

    after = broker.orders()

    assert after == before
    assert len(broker.alarms) == 1
    assert "counts as it was read before" in broker.alarms[0]


def test_a_position_that_cannot_be_read_is_an_error_and_not_a_closed_position():
    net = [{"tradingsymbol": "TCS", "exchange": "NSE", "product": "MIS", "quantity": None}]

    with pytest.raises(BrokerSilent, match="positions cannot be read"):
        KiteBroker(Kite(positions=[{"net": net}]), product=Product.MIS).shares()


def test_shares_of_other_products_and_exchanges_are_somebody_elses():
    net = [
        {"tradingsymbol": "TCS", "exchange": "NSE", "product": "MIS", "quantity": -5},
        {"tradingsymbol": "TCS", "exchange": "BSE", "product": "MIS", "quantity": 7},
        {"tradingsymbol": "TCS", "exchange": "NSE", "product": "NRML", "quantity": 9},
        {"tradingsymbol": "TCS", "exchange": "NSE", "product": "MTF", "quantity": 11},
    ]
    kite = Kite(positions=[{"net": net}], holdings=[[{"tradingsymbol": "TCS", "opening_quantity": 3}]])

    assert KiteBroker(kite, product=Product.MIS).shares() == {"TCS": -5}


@pytest.mark.skipif(not MOCKS.exists(), reason="the recorded answers are not on this machine")
def test_the_recorded_books_of_kite_are_read():
    orders, trades = (json.loads((MOCKS / f"{name}.json").read_text())["data"] for name in ("orders", "trades"))

    broker = KiteBroker(Kite(orders=[orders], trades=[trades]))

    assert {order.order_id for order in broker.orders()} == {
        row["order_id"] for row in orders if row["exchange"] == "NSE" and row["product"] in list(Product)
    }
    assert len(broker.fills()) == sum(row["exchange"] == "NSE" for row in trades)
    assert broker.alarms == []


# --- ordering ---


def test_an_order_without_a_clear_answer_is_looked_for_and_never_sent_again():
    for lost in (ReadTimeout(), ConnectionError(), NetworkException("gateway"), KeyError("content-type")):
        kite = Kite(place_order=[lost], orders=[[], [ORDER | {"filled_quantity": 0}]])

        answer = KiteBroker(kite).place(an_intent())

        assert answer == ORDER["order_id"]
        assert kite.asked == ["place_order", "orders", "orders"]


def test_an_order_that_is_in_no_book_after_an_unclear_answer_stays_unclear():
    kite = Kite(place_order=[ReadTimeout()], orders=[[]])

    answer = KiteBroker(kite).place(an_intent())

    assert answer == Refused("no answer: ReadTimeout", unclear=True)
    assert kite.asked.count("place_order") == 1


def test_an_order_is_found_by_its_tag_even_in_a_row_that_cannot_be_read():
    kite = Kite(place_order=[ReadTimeout()], orders=[[ORDER | {"quantity": None, "order_timestamp": None}]])

    assert KiteBroker(kite).place(an_intent()) == ORDER["order_id"]


def test_only_too_many_requests_are_sent_again(pauses):
    kite = Kite(place_order=[InputException("Too many requests", code=429), "42"])
    refused = Kite(place_order=[OrderException("no margin", code=400)], orders=[[]])

    assert KiteBroker(kite).place(an_intent()) == "42"
    assert pauses == [0.2], "shares may be waiting for their stop"
    assert KiteBroker(refused).place(an_intent()) == Refused("no margin")
    assert refused.asked == ["place_order", "orders"]


def test_answers_are_counted_by_their_kind():
    counted = []
    answers = [
        "42",
        ReadTimeout(),
        OrderException("no", code=400),
        TokenException("dead"),
        OrderException("x", code=503),
    ]
    broker = KiteBroker(
        Kite(place_order=answers, orders=[[]]), on_call=lambda call: counted.append((call.call, call.answer))
    )

    for _ in range(5):
        broker.place(an_intent())

    assert counted == [("place", kind) for kind in ("taken", "unclear", "refused", "logged out", "unclear")]


def test_an_entry_is_refused_where_the_minute_is_full_and_a_stop_is_sent():
    kite = Kite(place_order=["1"], orders=[[]])
    broker = KiteBroker(kite, OrderPacer(8, 4, 100))
    for _ in range(3):
        broker.place(an_intent())

    entry, stop = broker.place(an_intent()), broker.place(an_intent(Purpose.STOP))

    assert isinstance(entry, Refused)
    assert "4 in 60 s" in entry.message
    assert not entry.unclear
    assert stop == "1"


def test_a_stop_without_an_answer_keeps_other_bare_shares_waiting_for_a_moment_only(pauses):
    kite = Kite(place_order=[NetworkException("gateway", 502)], orders=[NetworkException("gateway", 502)])

    answer = KiteBroker(kite).place(an_intent(Purpose.STOP))

    assert isinstance(answer, Refused)
    assert answer.unclear
    assert sum(pauses) <= 0.1


def test_a_read_that_fails_once_is_tried_again_within_a_twentieth_of_a_second(pauses):
    kite = Kite(orders=[NetworkException("gateway", 502), [ORDER]])

    assert len(KiteBroker(kite).orders()) == 1
    assert sum(pauses) <= 0.05


def test_a_single_order_is_asked_for_again_where_the_call_fails(pauses):
    kite = Kite(order_history=[NetworkException("gateway", 502), [ORDER | {"status": "REJECTED"}]])

    order = KiteBroker(kite).order(ORDER["order_id"])

    assert order is not None
    assert order.status is OrderStatus.REJECTED
    assert sum(pauses) <= 0.05


# --- silence ---


def test_a_silent_broker_is_asked_again_after_growing_pauses(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    kite = Kite(orders=[ConnectionError()])
    broker = KiteBroker(kite)

    asked = []
    for _ in range(4000):
        before = len(kite.asked)
        with pytest.raises(BrokerSilent):
            broker.orders()
        if len(kite.asked) > before:
            asked.append(now)
        now += 0.01

    gaps = [round(later - earlier, 1) for earlier, later in pairwise(asked)]
    assert gaps == [0.3, 0.6, 1.2, 2.4, 4.8, 9.6, 15.0]
    assert broker.silent_since == 1000.0


def test_a_broker_that_is_back_is_read_at_once(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    broker = KiteBroker(Kite(orders=[ConnectionError(), ConnectionError(), ConnectionError(), [ORDER]]))
    with pytest.raises(BrokerSilent):
        broker.orders()

    now += 1.0
    found = broker.orders()

    assert len(found) == 1
    assert broker.silent_since is None


def test_a_dead_token_is_told_apart_from_silence_and_is_looked_for_again_in_a_moment(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    tokens = []
    broker = KiteBroker(
        Kite(orders=[TokenException("Token is invalid or has expired."), TokenException("expired"), [ORDER]]),
        renew=lambda: bool(tokens),
    )

    with pytest.raises(LoggedOut, match="run tradesage login"):
        broker.orders()
    assert broker.logged_out
    tokens.append("new")
    now += 1.0

    assert len(broker.orders()) == 1
    assert not broker.logged_out


def test_with_a_new_token_at_hand_an_order_is_sent_again_since_it_was_surely_not_taken():
    kite = Kite(place_order=[TokenException("expired"), "42"])

    assert KiteBroker(kite, renew=lambda: True).place(an_intent()) == "42"
    assert kite.asked == ["place_order", "place_order"]


def test_an_order_without_a_log_in_is_refused_and_never_raises():
    kite = Kite(place_order=[TokenException("expired")], orders=[TokenException("expired")])

    assert KiteBroker(kite).place(an_intent()) == Refused("the log-in is over: expired")


def too_many() -> NetworkException:
    return NetworkException("Too many requests", code=429)


def test_a_book_that_is_refused_for_its_rate_is_read_within_a_third_of_a_second(pauses):
    kite = Kite(orders=[too_many(), too_many(), too_many(), [ORDER]])

    assert len(KiteBroker(kite).orders()) == 1
    assert sum(pauses) < 0.33, "shares may be bare until it is read"


def test_a_read_that_is_refused_for_long_keeps_no_other_read_from_the_broker(pauses):
    kite = Kite(margins=[too_many()] * 6, orders=[[ORDER]])
    broker = KiteBroker(kite)

    with pytest.raises(BrokerSilent, match="takes no more"):
        broker.cash()

    assert len(broker.orders()) == 1, "the book is read at once"


def test_an_entry_that_is_refused_for_its_rate_keeps_no_stop_waiting(pauses):
    entry = Kite(place_order=[too_many()] * 2, orders=[[]])
    stop = Kite(place_order=[*[too_many()] * 4, "42"])

    assert isinstance(KiteBroker(entry).place(an_intent()), Refused)
    assert pauses == [0.2]
    assert KiteBroker(stop).place(an_intent(Purpose.STOP)) == "42"


def test_what_others_trade_beyond_our_exchange_is_kept_in_mind():
    row = {"exchange": "NFO", "product": "NRML", "tradingsymbol": "NIFTY26NOVFUT", "filled_quantity": 75}
    broker = KiteBroker(Kite(orders=[[ORDER | row]]))

    assert broker.orders() == []

    assert "NIFTY26NOVFUT" in broker.untold

    assert "NIFTY26NOVFUT" in broker.untold
