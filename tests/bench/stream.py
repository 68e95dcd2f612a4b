"""Ticks a second from the ticker's bytes to bars and feature rows, with as many instruments as one connection takes."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from pipelines.domain.bars import IST, Interval
from pipelines.domain.instruments import Instrument, Kind
from pipelines.features.online import OnlineFeatures
from serving.exchange import packets
from serving.executor.bar_builder import BarBuilder, session_grid
from serving.executor.packet_reader import PacketReader

INSTRUMENTS = 3_000  #: the most that one connection may subscribe to
MESSAGES = 40  #: of one packet an instrument each
OPEN = datetime(2026, 10, 30, 9, 15, tzinfo=IST)
EVERY = timedelta(seconds=15)


def messages() -> list[bytes]:
    """Frames of full packets, one an instrument, as the ticker would send them over ten minutes."""
    rng = np.random.default_rng(5)
    prices = rng.integers(10_000, 300_000, INSTRUMENTS)
    volume = np.zeros(INSTRUMENTS, dtype=np.int64)
    made = []
    for place in range(MESSAGES):
        at = OPEN + EVERY * place
        prices = np.maximum(prices + rng.integers(-20, 21, INSTRUMENTS) * 5, 500)
        volume += rng.integers(1, 400, INSTRUMENTS)
        made.append(packets.frame(_packet(i, int(prices[i]), int(volume[i]), at) for i in range(INSTRUMENTS)))
    return made


def _packet(number: int, paise: int, volume: int, at: datetime) -> bytes:
    price = Decimal(paise).scaleb(-2)
    depth = [packets.Level(price, 100, 3)] * packets.DEPTH_LEVELS
    snapshot = packets.Snapshot(
        token=token_of(number), last_price=price, open=price, high=price, low=price, close=price, timestamp=at,
        last_quantity=10, average_price=price, volume=volume, last_trade_time=at, bids=depth, asks=depth,
    )  # fmt: skip
    return packets.stock_packet(snapshot, packets.Mode.FULL)


def token_of(number: int) -> int:
    return ((number + 1) << 8) | 1


def instruments() -> list[Instrument]:
    return [
        Instrument(f"STOCK{i:04d}", token_of(i), Kind.STOCK, Decimal("0.05"), 1, "", True) for i in range(INSTRUMENTS)
    ]


def measure() -> dict[str, Any]:
    """Ticks a second: the official client's parsing alone, and all of ours from the bytes to bars and feature rows."""
    from kiteconnect import KiteTicker

    raw, stocks = messages(), instruments()
    ticks = INSTRUMENTS * MESSAGES
    parse = KiteTicker("key", "token")._parse_binary
    parsing = _seconds(lambda: [parse(message) for message in raw])
    _through(raw[:9], stocks[:2])  # compiles what is compiled once
    seconds, bars, slowest = _through(raw, stocks)
    return {
        "instruments": INSTRUMENTS, "ticks_per_second": ticks / seconds, "bars": bars,
        "close_ms": slowest * 1e3, "close_us_per_instrument": slowest * 1e6 / INSTRUMENTS,
        "peer": "the official client's parser alone", "peer_ticks_per_second": ticks / parsing,
        "times_as_fast_as_peer": parsing / seconds,
    }  # fmt: skip


def _through(raw: list[bytes], stocks: list[Instrument]) -> tuple[float, int, float]:
    """Seconds for all messages, bars that closed, and the longest time from a bar's close to its rows."""
    reader = PacketReader({stock.token: stock.symbol for stock in stocks})
    builder, features = BarBuilder(session_grid(Interval.MIN_1)), OnlineFeatures(stocks, Interval.MIN_1)
    bars, slowest = 0, 0.0
    began = time.perf_counter()
    for message in raw:
        frame = reader.read(message)
        assert frame is not None
        closing = time.perf_counter()
        for closed in builder.advance(frame.at):
            features.update(closed.close_time, closed.bars)
            bars += len(closed.bars)
            slowest = max(slowest, time.perf_counter() - closing)
        for tick in frame.ticks:
            builder.add(tick)
    return time.perf_counter() - began, bars, slowest


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
