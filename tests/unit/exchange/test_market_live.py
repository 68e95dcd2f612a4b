from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadParams
from pipelines.domain.market_calendar import session_on
from pipelines.domain.signals import Side
from serving.exchange.live_market import LiveMarket, as_played, sessions_ahead
from serving.exchange.market import FrameKind
from serving.exchange.venue import Venue
from serving.packet_time import PacketTime
from tests.unit.exchange.builders import ALPHA, DAY, NEXT_DAY, a_request, at, some_rules


def a_packet(price, total, when, bid=None, offer=None, token=ALPHA.token):
    depth = {"buy": [{"price": bid, "quantity": 10}], "sell": [{"price": offer, "quantity": 10}]} if bid else {}
    return {
        "instrument_token": token, "last_price": price, "volume_traded": total, "last_traded_quantity": 7,
        "last_trade_time": when, "exchange_timestamp": when, "depth": depth,
    }  # fmt: skip


def a_market(*days):
    return LiveMarket([ALPHA], [as_played(session_on(day)) for day in days or (DAY,)])


def frames(market):
    found = []
    while market.waiting:
        found.append(market.next_frame())
    return found


def test_a_packet_in_mid_session_opens_the_day_and_later_ones_bring_the_clock_s_minutes():
    market = a_market()

    market.take([a_packet(100.0, 5000, at(10, 2) + timedelta(seconds=30))])
    market.take([a_packet(100.1, 5400, at(10, 4) + timedelta(seconds=1))])

    told = [(frame.kind.name, f"{frame.at:%H:%M:%S}") for frame in frames(market)]
    assert told == [
        ("OPENING", "10:02:00"),
        ("TICKS", "10:02:30"),
        ("BOUNDARY", "10:03:00"),
        ("BOUNDARY", "10:04:00"),
        ("TICKS", "10:04:01"),
    ]


def test_shares_are_what_the_running_volume_has_grown_by_and_repeats_are_no_trades():
    market, start = a_market(), at(10, 0)
    market.take([a_packet(100.0, 5000, start)])
    market.take([a_packet(100.0, 5000, start)])
    market.take([a_packet(100.1, 5400, start + timedelta(seconds=1))])
    market.take([a_packet(99.9, 5300, start + timedelta(seconds=2))])  # its total steps back
    market.take([a_packet(99.0, 5100, start - timedelta(seconds=30))])  # old news

    ticks = [tick for frame in frames(market) for tick in frame.ticks]

    assert [(tick.price, tick.quantity) for tick in ticks] == [(Decimal("100.0"), 7), (Decimal("100.1"), 400)]
    assert market.left_out == 2


def test_what_traded_while_nobody_listened_is_not_there_for_orders():
    market, start = a_market(), at(10, 0)
    market.take([a_packet(100.0, 5000, start)])
    market.reconnected()
    market.take([a_packet(101.0, 900_000, start + timedelta(seconds=40))])

    ticks = [tick for frame in frames(market) for tick in frame.ticks]

    assert [tick.quantity for tick in ticks] == [7, 7]


@pytest.mark.parametrize(
    "wrong_by", [timedelta(minutes=1), timedelta(hours=5), timedelta(days=1), timedelta(days=9000)]
)
@pytest.mark.parametrize("what", ["exchange_timestamp", "last_trade_time"])
def test_one_packet_with_a_time_ahead_stops_no_mirror(wrong_by, what):
    now = at(10, 0)
    market = LiveMarket([ALPHA], [as_played(session_on(DAY))], PacketTime(wall=lambda: now))
    market.take([a_packet(100.0, 5000, now)])

    market.take([a_packet(100.1, 5100, now) | {what: now + wrong_by}])
    market.take([a_packet(100.2, 5200, now + timedelta(seconds=2))])
    market.take([a_packet(100.3, 5300, now + timedelta(seconds=3))])

    ticks = [(frame.at, tick.price) for frame in frames(market) for tick in frame.ticks]
    assert ticks[-2:] == [(now + timedelta(seconds=n), Decimal(f"100.{n}")) for n in (2, 3)]
    assert len(ticks) == 4


@pytest.mark.parametrize("wild", [300.0, 33.0])
@pytest.mark.parametrize("first", [True, False])
def test_a_price_that_jumps_away_alone_is_not_mirrored_and_one_that_stays_is(wild, first):
    market, start = a_market(), at(10, 0)
    told = [(100.0, 0)] * (not first) + [(wild, 1), (100.1, 2), (125.0, 3), (125.1, 4), (125.2, 5), (125.5, 6)]
    for price, second in told:
        when = start + timedelta(seconds=second)
        market.take([a_packet(price, 5000 + 100 * second, when) | {"ohlc": {"close": 99.0}}])

    prices = [float(tick.price) for frame in frames(market) for tick in frame.ticks]

    assert prices == [100.0] * (not first) + [100.1, 125.5]


def test_the_days_open_and_volume_are_the_sources_own():
    market = a_market()
    venue = Venue([ALPHA], market, {"ALPHA": Decimal("100.00")}, some_rules())
    market.take([a_packet(101.5, 5000, at(9, 15) + timedelta(seconds=2)) | {"ohlc": {"open": 100.5}}])
    while market.waiting:
        venue.advance()

    quote = venue.board.quotes["ALPHA"]
    assert (quote.open, quote.low, quote.volume) == (Decimal("100.5"), Decimal("100.5"), 5000)


@pytest.mark.parametrize("silent", [True, False])
def test_a_session_closes_with_its_last_packet_or_by_the_wall_clock_and_the_next_day_opens(silent):
    market = a_market(DAY, NEXT_DAY)
    close = session_on(DAY).end
    market.take([a_packet(100.0, 5000, close - timedelta(seconds=30))])
    if silent:
        market.close_if_over(close + timedelta(minutes=1))
        market.close_if_over(close + timedelta(minutes=3))
    else:
        market.take([a_packet(100.0, 5000, close + timedelta(seconds=1))])
    market.take([a_packet(101.0, 50, at(9, 15, NEXT_DAY))])

    kinds = [frame.kind for frame in frames(market) if frame.kind is not FrameKind.BOUNDARY]
    assert kinds == [FrameKind.OPENING, FrameKind.TICKS, FrameKind.CLOSING, FrameKind.OPENING, FrameKind.TICKS]


def test_nothing_is_played_outside_of_sessions():
    market = a_market()

    market.take([a_packet(100.0, 5000, at(9, 0))])
    market.take([a_packet(100.0, 5000, datetime(2026, 10, 31, 10, 0, tzinfo=IST))])

    assert frames(market) == []


@pytest.mark.parametrize(("side", "paid"), [(Side.BUY, "100.15"), (Side.SELL, "99.95")])
def test_an_order_pays_the_best_price_of_the_other_side_where_the_depth_is_known(side, paid):
    market = a_market()
    venue = Venue([ALPHA], market, {"ALPHA": Decimal("100.00")}, some_rules())
    market.take([a_packet(100.0, 5000, at(10, 0), 99.95, 100.05)])
    while market.waiting:
        venue.advance()

    order = venue.place(a_request(side=side))
    market.take([a_packet(100.05, 9000, at(10, 0) + timedelta(seconds=1), 99.95, 100.15)])
    venue.advance()

    filled = venue.book.find(order.order_id)
    assert (filled.status, filled.average_price) == ("COMPLETE", Decimal(paid))


def test_a_live_market_beyond_the_calendar_is_refused_in_one_line():
    known = sessions_ahead(datetime(2026, 12, 31, 10, 0, tzinfo=IST))

    assert [session.day for session in known] == [date(2026, 12, 31)]
    with pytest.raises(BadParams, match="knows no session") as refused:
        sessions_ahead(datetime(2027, 1, 4, 10, 0, tzinfo=IST))
    assert "\n" not in str(refused.value)
