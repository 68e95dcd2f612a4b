"""Messages read by us and by the official client tell the same."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from pipelines.domain.bars import IST
from serving.exchange import packets
from serving.exchange.packets import Level, Mode, Snapshot
from serving.executor.packet_reader import CLOCK_TOKEN, PacketReader
from serving.packet_time import PacketTime

SYMBOLS = {0x101: "ALPHA", 0x201: "BETA", 0x302: "ALPHAFUT"}
INDEX = CLOCK_TOKEN
AT = datetime(2026, 10, 30, 10, 0, tzinfo=IST)
SECOND = timedelta(seconds=1)


def a_stock(token: int = 0x101, paise: int = 10_005, volume: int = 50, at: datetime = AT, traded: datetime | None = AT):
    price = Decimal(paise).scaleb(-2)
    depth = (Level(price, 5, 1),) * packets.DEPTH_LEVELS
    return Snapshot(token, price, price, price, price, price, at, 1, price, volume, 5, 5, traded, depth, depth)


def message(*snapshots: Snapshot, mode: Mode = Mode.FULL) -> bytes:
    encoded = (packets.stock_packet(s, mode) if s.token != INDEX else packets.index_packet(s, mode) for s in snapshots)
    return packets.frame(encoded)


def test_a_trade_is_read_with_price_volume_and_time():
    reader = PacketReader(SYMBOLS)

    frame = reader.read(message(a_stock()))

    assert frame.at == AT
    assert [(t.symbol, t.price, t.volume_today, t.at) for t in frame.ticks] == [("ALPHA", 100.05, 50, AT)]


def test_an_index_that_is_wanted_tells_its_level_and_no_trade():
    level = a_stock(INDEX, paise=2_412_345)

    told = PacketReader(SYMBOLS | {INDEX: "NIFTY 50"}).read(message(a_stock(), level))
    not_asked = PacketReader(SYMBOLS).read(message(a_stock(), level))

    assert [(t.symbol, t.price, t.at) for t in told.levels] == [("NIFTY 50", 24_123.45, AT)]
    assert [t.symbol for t in told.ticks] == ["ALPHA"]
    assert not_asked.levels == ()


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, False),  # repeated
        ({"traded": AT - timedelta(seconds=1)}, False),  # an older trade
        ({"volume": 49, "paise": 10_000}, False),  # of the same second, from before
        ({"volume": 51}, True),
        ({"traded": AT + timedelta(seconds=1)}, True),
        ({"traded": AT + timedelta(days=1), "at": AT + timedelta(days=1), "volume": 5}, True),  # the next day's first
        ({"traded": None}, False),
        ({"volume": 51, "traded": AT - timedelta(days=20_000)}, True),  # new shares: only its time is wrong
        ({"volume": 0, "traded": AT + timedelta(seconds=1)}, True),  # a new trade: only its volume is wrong
    ],
)
def test_a_trade_is_taken_once_and_never_after_a_newer_one(changes, taken):
    reader = PacketReader(SYMBOLS)
    reader.read(message(a_stock()))

    frame = reader.read(message(a_stock(**({"at": AT + timedelta(seconds=3)} | changes))))

    assert bool(frame.ticks) is taken


def test_an_instrument_that_is_not_ours_gives_no_trade():
    reader = PacketReader(SYMBOLS)

    frame = reader.read(message(a_stock(traded=None), a_stock(token=0x999901)))

    assert frame.ticks == ()


def test_heartbeats_and_packets_without_a_time_tell_nothing():
    reader = PacketReader(SYMBOLS)

    assert reader.read(packets.HEARTBEAT) is None
    assert reader.read(message(a_stock(), mode=Mode.QUOTE)) is None
    assert reader.read(message(a_stock(), mode=Mode.LTP)) is None


def test_the_index_is_the_clock_and_tells_how_far_it_moved():
    index = replace(a_stock(token=INDEX, at=AT + timedelta(minutes=5)), last_price=Decimal(90), close=Decimal(100))

    frame = PacketReader(SYMBOLS).read(message(a_stock(), index))

    assert frame.at == AT + timedelta(minutes=5)
    assert frame.index_move == pytest.approx(-0.10)


@settings(max_examples=100)
@given(
    told=st.lists(
        st.tuples(
            st.sampled_from([*SYMBOLS, 0x777701]),
            st.integers(5, 5_000_000),
            st.integers(0, 3600),
            st.integers(0, 3600),
        ),
        max_size=12,
    ),
    shares=st.integers(1, 1_000_000),
)
def test_what_the_official_client_reads_is_what_we_read(told, shares):
    """A day's volume grows with the time of its trades; packets repeat and come in any order."""
    snapshots = [
        a_stock(token, paise, (1000 + traded) * shares, AT + (traded + late) * SECOND, AT + traded * SECOND)
        for token, paise, late, traded in told
    ]
    raw = message(*snapshots)
    oracle = KiteTicker("key", "token")._parse_binary(raw)
    seen: dict[int, tuple] = {}
    expected = []
    for packet in oracle:
        token, state = packet["instrument_token"], (packet["last_trade_time"], packet["volume_traded"])
        before = seen.get(token)
        older = before is not None and (state[0] < before[0] or state[1] < before[1])
        if token in SYMBOLS and not older and before != (*state, packet["last_price"]):
            seen[token] = (*state, packet["last_price"])
            at = packet["last_trade_time"].astimezone(IST)
            expected.append((SYMBOLS[token], packet["last_price"], packet["volume_traded"], at))

    frame = PacketReader(SYMBOLS).read(raw)

    if not told:
        assert frame is None
        return
    assert frame.at == max(packet["exchange_timestamp"] for packet in oracle).astimezone(IST)
    assert [(t.symbol, t.price, t.volume_today, t.at) for t in frame.ticks] == expected


@given(raw=st.binary(max_size=600), cut=st.integers(0, 400))
def test_garbage_and_messages_cut_off_never_raise(raw, cut):
    whole = message(a_stock(), a_stock(token=0x201))

    PacketReader(SYMBOLS).read(raw)
    PacketReader(SYMBOLS).read(whole[:cut])


@pytest.mark.parametrize(
    "wild",
    [
        {"traded": AT + timedelta(hours=5)},
        {"traded": datetime(2106, 1, 1, tzinfo=IST)},
        {"traded": datetime(1971, 1, 1, tzinfo=IST)},
        {"volume": 2**32 - 1},
        {"volume": 0},
        {"volume": 10_000_000, "paise": 30_000},
        {"at": datetime(1970, 1, 1, tzinfo=UTC)},  # no stamp at all
    ],
)
def test_one_wild_number_costs_a_stock_none_of_its_later_ticks(wild):
    reader = PacketReader(SYMBOLS, PacketTime(AT, wall=lambda: AT + timedelta(minutes=1)))
    reader.read(message(a_stock(volume=40, at=AT - timedelta(seconds=1), traded=AT - timedelta(seconds=1))))

    told = [reader.read(message(a_stock(**wild)))] + [
        reader.read(message(a_stock(volume=50 + n, at=AT + timedelta(seconds=n), traded=AT + timedelta(seconds=n))))
        for n in range(1, 5)
    ]

    assert [[tick.symbol for tick in frame.ticks] for frame in told] == [["ALPHA"]] * 5
    assert [frame.ticks[0].at for frame in told[1:]] == [AT + timedelta(seconds=n) for n in range(1, 5)]
    assert told[-1].ticks[0].volume_today == 54


@pytest.mark.parametrize("volume", [2**32 - 8, 5_000_000, 2_000])
@pytest.mark.parametrize("silent_s", [1, 90])
def test_a_volume_that_jumps_is_counted_when_four_packets_tell_it(volume, silent_s):
    reader = PacketReader(SYMBOLS)
    after = [AT + timedelta(seconds=n) for n in range(6)] + [AT + timedelta(seconds=5 + silent_s + n) for n in range(4)]
    told = [50 + n for n in range(6)] + [volume + n for n in range(4)]

    frames = [reader.read(message(a_stock(volume=v, at=at, traded=at))) for v, at in zip(told, after, strict=True)]

    ticks = [frame.ticks[0] for frame in frames]
    assert [tick.volume_today for tick in ticks] == [50, 51, 52, 53, 54, 55, 55, 55, 55, volume + 3]
    assert [tick.doubted_since for tick in ticks] == [AT] * 3 + [None] * 3 + [after[6]] * 3 + [None]


@pytest.mark.parametrize("wild", [2**32 - 1, 2**31 - 1, 100_000, 7, 0])
@pytest.mark.parametrize("first", [True, False])
def test_three_wild_volumes_in_a_row_are_taken_back_or_never_counted(wild, first):
    reader = PacketReader(SYMBOLS)
    true = list(range(5_000, 5_700, 50))
    told = [wild if (0 if first else 5) <= n < (3 if first else 8) else volume for n, volume in enumerate(true)]
    told[2 if first else 7] += wild == 2**31 - 1

    ticks = [
        reader.read(message(a_stock(volume=v, at=at, traded=at))).ticks[0]
        for v, at in ((v, AT + timedelta(seconds=n)) for n, v in enumerate(told))
    ]

    wrong = [n for n, tick in enumerate(ticks) if tick.volume_today != true[n]]
    assert all(ticks[n].doubted_since is not None for n in wrong)
    assert [tick.volume_today for tick in ticks[8:]] == true[8:]


@pytest.mark.parametrize("times", [2, 5, 20])
def test_a_real_burst_of_volume_is_counted_within_four_packets(times):
    reader, total, counted = PacketReader(SYMBOLS), 10_000, []
    for second in range(40):
        at = AT + timedelta(seconds=second)
        total += 100 * times if second >= 20 else 100
        counted.append(reader.read(message(a_stock(volume=total, at=at, traded=at))).ticks[0].volume_today - total)

    assert all(behind == 0 for behind in (*counted[:20], *counted[23:]))


def test_trades_of_a_long_silence_are_counted_at_once():
    reader = PacketReader(SYMBOLS)
    for second in range(30):
        at = AT + timedelta(seconds=second)
        reader.read(message(a_stock(volume=10_000 + 100 * second, at=at, traded=at)))

    back = AT + timedelta(seconds=150)
    [tick] = reader.read(message(a_stock(volume=25_000, at=back, traded=back))).ticks

    assert (tick.volume_today, tick.doubted_since) == (25_000, None)


@pytest.mark.parametrize("traded", [0, 1, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("stamp", [None, 1, 2**31 - 1])
def test_new_shares_with_a_wild_trade_time_are_a_trade_of_now(traded, stamp):
    reader = PacketReader(SYMBOLS, PacketTime(AT, wall=lambda: AT + 3 * SECOND))
    reader.read(message(a_stock(volume=50), a_stock(INDEX)))
    now = AT + 3 * SECOND
    spoilt = bytearray(packets.stock_packet(a_stock(volume=60, at=now, traded=now), Mode.FULL))
    spoilt[44:48] = traded.to_bytes(4)
    if stamp is not None:
        spoilt[60:64] = stamp.to_bytes(4)

    frame = reader.read(packets.frame([bytes(spoilt), packets.index_packet(a_stock(INDEX, at=now), Mode.FULL)]))

    assert frame.at == now
    assert [(tick.at, tick.volume_today) for tick in frame.ticks] == [(now, 60)]


@pytest.mark.parametrize("level", [72_000, 8_000])
def test_an_index_that_jumps_away_alone_tells_neither_level_nor_move(level):
    def told(points, seconds):
        at = AT + timedelta(seconds=seconds)
        index = replace(a_stock(INDEX, at=at), last_price=Decimal(points), close=Decimal(24_000))
        return reader.read(message(index))

    reader = PacketReader({INDEX: "NIFTY 50"})
    told(24_100, 0)

    wild, true = [told(level, second) for second in (1, 2, 3)], told(24_110, 4)
    real = [told(21_000 + second, second) for second in (5, 6, 7, 8)]

    assert [(frame.levels, frame.index_move, len(frame.doubtful_levels)) for frame in wild] == [((), None, 1)] * 3
    assert true.levels[0].price == 24_110
    assert [frame.index_move for frame in real] == [None] * 3 + [pytest.approx(21_008 / 24_000 - 1)]


@pytest.mark.parametrize("close", [1, 12_000, 26_700, 2**31 / 100])
def test_a_wild_close_of_the_index_moves_nothing(close):
    reader = PacketReader({INDEX: "NIFTY 50"})

    def told(points, seconds):
        index = replace(
            a_stock(INDEX, at=AT + seconds * SECOND), last_price=Decimal(24_100), close=Decimal(str(points))
        )
        return reader.read(message(index)).index_move

    moves = [told(points, n) for n, points in enumerate((24_000, close, close, close, 24_000))]

    assert moves == [pytest.approx(24_100 / 24_000 - 1)] * 5


@pytest.mark.parametrize("wild", [None, 1, 48_000])
def test_on_another_day_the_index_moves_from_another_close(wild):
    reader = PacketReader({INDEX: "NIFTY 50"})

    def told(level, close, at):
        return reader.read(message(replace(a_stock(INDEX, at=at), last_price=Decimal(level), close=Decimal(close))))

    told(24_100, 24_000, AT)
    closes = [wild] * (3 if wild else 0) + [21_900, 21_900]
    frames = [told(21_950, close, AT + timedelta(days=1, seconds=n)) for n, close in enumerate(closes)]

    moves = [frame.index_move for frame in frames]
    assert all(move is None or move == pytest.approx(21_950 / 21_900 - 1) for move in moves)
    assert moves[-1] is not None


@pytest.mark.parametrize("wrong", [-60, -3600, -86_400])
def test_an_index_stamped_behind_goes_into_no_bar_of_before(wrong):
    reader = PacketReader(SYMBOLS | {INDEX: "NIFTY 50"}, PacketTime(AT, wall=lambda: AT + SECOND))
    reader.read(message(a_stock(), a_stock(INDEX, paise=2_400_000)))

    at = AT + SECOND
    frame = reader.read(
        message(a_stock(volume=60, at=at, traded=at), a_stock(INDEX, 2_400_100, at=at + wrong * SECOND))
    )

    assert (frame.at, frame.levels) == (at, ())
    assert [level.at for level in frame.doubtful_levels] == [at]
