"""What the daemon tells of itself on loopback: GET /health as JSON, GET /metrics for Prometheus."""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pipelines.domain.errors import PortTaken
from pipelines.domain.halts import Mode
from serving.executor.broker import OrderCall
from serving.small_server import SmallHandler, SmallServer

MILLISECONDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
MOST_KEPT = 10_000  #: times of single orders, for the summary
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Figures of one daemon, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.frame_seconds = self._histogram("frame_seconds", "From a frame in hand to all its work done", SECONDS)
        self.decide_ms = self._histogram("decide_ms", "From the request to the decisions in hand", MILLISECONDS)
        self.bar_close_to_order_seconds = self._histogram(
            "bar_close_to_order_seconds",
            "From a bar's last frame in hand to the request of each order that it led to",
            SECONDS,
        )
        self.open_positions = self._gauge("open_positions", "Open positions")
        self.equity_inr = self._gauge("equity_inr", "Equity in rupees")
        self.exposure_inr = self._gauge("exposure_inr", "What open positions are worth at their last prices, in rupees")
        self.naked_seconds_max = self._gauge("naked_seconds_max", "Longest market time that a position had no stop")
        self.alarms = self._gauge("alarms", "Alarms that are on")
        self.feed_silent_seconds = self._gauge("feed_silent_seconds", "Since anything was heard of the ticker")
        self.clock_skew_seconds = self._gauge("clock_skew_seconds", "This machine's clock less the market's, live only")
        self.broker_silent = self._gauge("broker_silent", "1 while the broker's books cannot be read")
        self.logged_in = self._gauge("logged_in", "1 while the broker takes our token")
        self.order_calls = Counter(
            "tradesage_executor_order_calls",
            "Calls that place, modify or cancel, by how they were answered",
            ["call", "answer"],
            registry=self.registry,
        )
        self.mode = Gauge(
            "tradesage_executor_trading_mode",
            "1 for the mode that trading is in, 0 for the others",
            ["mode"],
            registry=self.registry,
        )
        self.drawdown = self._gauge("drawdown", "Share of the highest equity that is lost")
        self.refusals = Counter(
            "tradesage_executor_refusals",
            "Refusals by the rule that said no",
            ["rule"],
            registry=self.registry,
        )
        self._refused: dict[str, int] = {}
        self.fills = self._counter("fills", "Fills of our orders")
        self.reconnects = self._counter("reconnects", "Connections of the ticker after the first")
        self.late_frames = self._counter("late_frames", "Frames that came behind a newer one")

    def trading(self, told: Mapping[str, Any]) -> None:
        """Take over what the risk desk tells; its counts only grow within a session."""
        for mode in Mode:
            self.mode.labels(mode=mode.value).set(told["mode"] == mode.value)
        self.drawdown.set(told["drawdown"] or 0.0)
        for rule, times in told["refused"].items():
            before = self._refused.get(rule, 0)
            self.refusals.labels(rule=rule).inc(times - before if times >= before else times)
            self._refused[rule] = times

    def _histogram(self, name: str, told: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"tradesage_executor_{name}", told, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, told: str) -> Gauge:
        return Gauge(f"tradesage_executor_{name}", told, registry=self.registry)

    def _counter(self, name: str, told: str) -> Counter:
        return Counter(f"tradesage_executor_{name}", told, registry=self.registry)


@dataclass
class OrderTimes:
    """Counts order calls; of an entry, how long after its bar's last frame the request left."""

    metrics: Metrics
    in_hand: float | None = None  #: `time.perf_counter` when the frame being worked off came in
    entries_ms: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))  #: of the last ones

    def note(self, call: OrderCall) -> None:
        self.metrics.order_calls.labels(call=call.call, answer=call.answer).inc()
        if self.in_hand is not None and call.call == "place" and not call.urgent:
            waited = max(call.sent_at - self.in_hand, 0.0)
            self.metrics.bar_close_to_order_seconds.observe(waited)
            self.entries_ms.append(waited * 1e3)


class HealthServer:
    """Answers in threads of its own until `close`; its port is `port`."""

    def __init__(self, host: str, port: int, health: Callable[[], dict[str, Any]], metrics: Metrics):
        try:
            self._server = SmallServer((host, port), _handler(health, metrics))
        except OSError as error:
            raise PortTaken(
                f"port {port}, wanted for the executor, cannot be listened on ({error.strerror}); "
                "end the process that does, or set serving.executor_port in params.yaml"
            ) from None
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(health: Callable[[], dict[str, Any]], metrics: Metrics) -> type[SmallHandler]:
    class Handler(SmallHandler):
        def answer_to(self, path: str) -> tuple[int, str, bytes]:
            if path == "/health":
                return 200, "application/json", json.dumps(health(), default=str).encode()
            if path == "/metrics":
                return 200, "text/plain; version=0.0.4", generate_latest(metrics.registry)
            return 404, "application/json", b'{"error": "known are /health and /metrics"}'

    return Handler
