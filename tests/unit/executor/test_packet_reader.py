"""Messages read by us and by the official client tell the same."""

from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from pipelines.domain.bars import IST
from serving.exchange import packets
from serving.exchange.packets import Level, Mode, Snapshot
from serving.executor.packet_reader import PacketReader

SYMBOLS = {0x101: "ALPHA", 0x201: "BETA", 0x302: "ALPHAFUT"}
INDEX = 0x909
AT = datetime(2026, 10, 30, 10, 0, tzinfo=IST)


def a_stock(token: int = 0x101, paise: int = 10_005, volume: int = 50, at: datetime = AT, traded: datetime | None = AT):
    price = Decimal(paise).scaleb(-2)
    depth = (Level(price, 5, 1),) * packets.DEPTH_LEVELS
    return Snapshot(token, price, price, price, price, price, at, 1, price, volume, 5, 5, traded, depth, depth)


def message(*snapshots: Snapshot, mode: Mode = Mode.FULL) -> bytes:
    encoded = (packets.stock_packet(s, mode) if s.token != INDEX else packets.index_packet(s, mode) for s in snapshots)
    return packets.frame(encoded)


def test_a_trade_is_read_with_price_volume_and_time():
    reader = PacketReader(SYMBOLS)

    at, ticks = reader.read(message(a_stock()))

    assert at == AT
    assert [(t.symbol, t.price, t.volume_today, t.at) for t in ticks] == [("ALPHA", 100.05, 50, AT)]


def test_a_packet_that_repeats_the_last_trade_is_no_trade():
    reader = PacketReader(SYMBOLS)
    reader.read(message(a_stock()))

    at, ticks = reader.read(message(a_stock(at=AT + timedelta(seconds=3))))

    assert at == AT + timedelta(seconds=3)
    assert ticks == ()


def test_an_instrument_that_has_not_traded_yet_or_is_not_ours_gives_no_trade():
    reader = PacketReader(SYMBOLS)

    _, ticks = reader.read(message(a_stock(traded=None), a_stock(token=0x999901)))

    assert ticks == ()


def test_heartbeats_and_packets_without_a_time_tell_nothing():
    reader = PacketReader(SYMBOLS)

    assert reader.read(packets.HEARTBEAT) is None
    assert reader.read(message(a_stock(), mode=Mode.QUOTE)) is None
    assert reader.read(message(a_stock(), mode=Mode.LTP)) is None


def test_the_index_is_the_clock():
    reader = PacketReader(SYMBOLS)

    at, ticks = reader.read(message(a_stock(token=INDEX, at=AT + timedelta(minutes=5))))

    assert at == AT + timedelta(minutes=5)
    assert ticks == ()


@settings(max_examples=100)
@given(
    told=st.lists(
        st.tuples(
            st.sampled_from([*SYMBOLS, 0x777701]),
            st.integers(5, 5_000_000),
            st.integers(0, 2**32 - 1),
            st.integers(0, 3600),
            st.integers(0, 3600),
        ),
        max_size=12,
    )
)
def test_what_the_official_client_reads_is_what_we_read(told):
    snapshots = [
        a_stock(token, paise, volume, AT + timedelta(seconds=stamp), AT + timedelta(seconds=traded))
        for token, paise, volume, stamp, traded in told
    ]
    raw = message(*snapshots)
    oracle = KiteTicker("key", "token")._parse_binary(raw)
    seen: dict[int, tuple] = {}
    expected = []
    for packet in oracle:
        token, state = packet["instrument_token"], (packet["last_trade_time"], packet["volume_traded"])
        if token in SYMBOLS and seen.get(token) != (*state, packet["last_price"]):
            seen[token] = (*state, packet["last_price"])
            at = min(packet["last_trade_time"], packet["exchange_timestamp"]).astimezone(IST)
            expected.append((SYMBOLS[token], packet["last_price"], packet["volume_traded"], at))

    found = PacketReader(SYMBOLS).read(raw)

    if not told:
        assert found is None
        return
    assert found is not None
    assert found[0] == max(packet["exchange_timestamp"] for packet in oracle).astimezone(IST)
    assert [(t.symbol, t.price, t.volume_today, t.at) for t in found[1]] == expected


@given(raw=st.binary(max_size=600), cut=st.integers(0, 400))
def test_garbage_and_messages_cut_off_never_raise(raw, cut):
    whole = message(a_stock(), a_stock(token=0x201))

    PacketReader(SYMBOLS).read(raw)
    PacketReader(SYMBOLS).read(whole[:cut])
