import base64
import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from kiteconnect import KiteTicker

from pipelines.domain.bars import IST
from serving.exchange.packets import HEARTBEAT, Level, Mode, Snapshot, frame, index_packet, stock_packet
from tests.conftest import SHARED_DATA

KITE = SHARED_DATA / "kite"
recorded = pytest.mark.skipif(not KITE.exists(), reason="recorded Kite samples are not here")


def parsed(packets: bytes) -> list[dict]:
    return KiteTicker("key", "token")._parse_binary(packets)


def a_snapshot(**changes) -> Snapshot:
    fields = {
        "token": 408065,
        "last_price": Decimal("1573.70"),
        "open": Decimal("1569.15"),
        "high": Decimal("1575.00"),
        "low": Decimal("1561.05"),
        "close": Decimal("1567.80"),
        "timestamp": datetime(2026, 10, 29, 10, 41, 27, tzinfo=IST),
    }
    return Snapshot(**(fields | changes))


def snapshot_of(tick: dict, traded: datetime | None = None, stamp: datetime | None = None) -> Snapshot:
    """A snapshot with what the official client read in a packet."""

    def money(value: float) -> Decimal:
        return Decimal(str(value))

    def levels(side: str) -> list[Level]:
        return [Level(money(x["price"]), x["quantity"], x["orders"]) for x in tick.get("depth", {}).get(side, [])]

    return Snapshot(
        token=tick["instrument_token"],
        last_price=money(tick["last_price"]),
        open=money(tick["ohlc"]["open"]),
        high=money(tick["ohlc"]["high"]),
        low=money(tick["ohlc"]["low"]),
        close=money(tick["ohlc"]["close"]),
        timestamp=stamp or datetime(2000, 1, 1, tzinfo=IST),
        last_quantity=tick["last_traded_quantity"],
        average_price=money(tick["average_traded_price"]),
        volume=tick["volume_traded"],
        buy_quantity=tick["total_buy_quantity"],
        sell_quantity=tick["total_sell_quantity"],
        last_trade_time=traded,
        bids=levels("buy"),
        asks=levels("sell"),
        oi=tick.get("oi", 0),
        oi_day_high=tick.get("oi_day_high", 0),
        oi_day_low=tick.get("oi_day_low", 0),
    )


@recorded
@pytest.mark.parametrize(("name", "mode"), [("ticker_full", Mode.FULL), ("ticker_quote", Mode.QUOTE)])
def test_the_recorded_packets_of_the_mocks_are_reproduced_to_the_byte(name, mode):
    body = base64.b64decode((KITE / "mocks" / f"{name}.packet").read_text())
    expected = json.loads((KITE / "mocks" / f"{name}.json").read_text())
    (tick,) = parsed(frame([body]))
    times = [datetime.fromisoformat(expected[key]) for key in ("last_trade_time", "timestamp") if key in expected]

    encoded = stock_packet(snapshot_of(tick, *times), mode)

    assert encoded == body
    assert tick["last_price"] == expected["last_price"]


@recorded
@pytest.mark.parametrize("name", ["ltpMode", "quoteMode", "fullMode"])
def test_the_recorded_frames_of_the_javascript_client_are_reproduced_to_the_byte(name):
    whole = (KITE / "packets" / f"{name}_binary.packet").read_bytes()
    (tick,) = parsed(whole)
    defaults = dict.fromkeys(("last_traded_quantity", "average_traded_price", "volume_traded"), 0)
    defaults |= {
        "total_buy_quantity": 0,
        "total_sell_quantity": 0,
        "ohlc": dict.fromkeys(("open", "high", "low", "close"), 0),
    }
    times = [tick[key].astimezone() for key in ("last_trade_time", "exchange_timestamp") if key in tick]

    encoded = stock_packet(snapshot_of(defaults | tick, *times), Mode(tick["mode"]))

    assert frame([encoded]) == whole


@pytest.mark.parametrize("mode", list(Mode))
def test_the_official_client_reads_an_index_packet_in_its_own_price_order(mode):
    snapshot = a_snapshot(token=256265)

    (tick,) = parsed(frame([index_packet(snapshot, mode)]))

    assert tick["mode"] == mode.value
    assert not tick["tradable"]
    assert tick["last_price"] == 1573.70
    if mode is not Mode.LTP:
        assert tick["ohlc"] == {"open": 1569.15, "high": 1575.0, "low": 1561.05, "close": 1567.80}
    if mode is Mode.FULL:
        assert tick["exchange_timestamp"].timestamp() == snapshot.timestamp.timestamp()


def test_a_full_packet_carries_five_levels_a_side_and_both_times():
    traded = datetime(2026, 10, 29, 10, 41, 20, tzinfo=IST)
    bids = [Level(Decimal("1573.40") - k, 5 + k, k + 1) for k in range(5)]
    snapshot = a_snapshot(bids=bids, asks=bids[:2], last_trade_time=traded, volume=2**32 + 5)

    (tick,) = parsed(frame([stock_packet(snapshot, Mode.FULL)]))

    assert [level["quantity"] for level in tick["depth"]["buy"]] == [5, 6, 7, 8, 9]
    assert [level["quantity"] for level in tick["depth"]["sell"]] == [5, 6, 0, 0, 0]
    assert tick["exchange_timestamp"].timestamp() - tick["last_trade_time"].timestamp() == timedelta(seconds=7).seconds
    assert tick["volume_traded"] == 2**32 - 1


def test_several_packets_travel_in_one_frame_and_a_heartbeat_is_nothing():
    packets = [stock_packet(a_snapshot(token=token), Mode.QUOTE) for token in (257, 513, 769)]

    ticks = parsed(frame(packets))

    assert [tick["instrument_token"] for tick in ticks] == [257, 513, 769]
    assert parsed(HEARTBEAT) == []


@recorded
@pytest.mark.parametrize("name", ["ticker_full", "ticker_quote"])
def test_the_recorded_packets_decode_to_the_recorded_values(name):
    """The official client's names differ from the mock's; every value is the recorded one."""
    expected = json.loads((KITE / "mocks" / f"{name}.json").read_text())
    (tick,) = parsed(frame([base64.b64decode((KITE / "mocks" / f"{name}.packet").read_text())]))
    names = {
        "last_quantity": "last_traded_quantity",
        "average_price": "average_traded_price",
        "volume": "volume_traded",
        "buy_quantity": "total_buy_quantity",
        "sell_quantity": "total_sell_quantity",
    }
    times = {"last_trade_time": "last_trade_time", "timestamp": "exchange_timestamp"}

    found = {key: tick[names.get(key, key)] for key in expected if key not in times and key != "change"}
    stamps = {key: tick[times[key]].timestamp() for key in times if key in expected}

    assert found == {key: expected[key] for key in found}
    assert stamps == {key: datetime.fromisoformat(expected[key]).timestamp() for key in stamps}


@recorded
def test_an_ltp_packet_is_read_as_recorded():
    expected = json.loads((KITE / "mocks" / "ticker_ltp.json").read_text())
    snapshot = a_snapshot(token=expected["instrument_token"], last_price=Decimal(str(expected["last_price"])))

    assert parsed(frame([stock_packet(snapshot, Mode.LTP)])) == [expected]


def test_a_future_carries_its_open_interest():
    snapshot = a_snapshot(token=12_683_010, oi=1_250_000, oi_day_high=1_300_000, oi_day_low=1_200_000)

    (tick,) = parsed(frame([stock_packet(snapshot, Mode.FULL)]))

    assert tick["tradable"]
    assert tick["instrument_token"] & 0xFF == 2
    assert (tick["oi"], tick["oi_day_high"], tick["oi_day_low"]) == (1_250_000, 1_300_000, 1_200_000)


@pytest.mark.parametrize(("mode", "length"), [(Mode.LTP, 8), (Mode.QUOTE, 28), (Mode.FULL, 32)])
def test_an_index_packet_has_the_length_of_its_mode(mode, length):
    assert len(index_packet(a_snapshot(token=256265), mode)) == length
