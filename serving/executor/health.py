"""What the daemon tells of itself on loopback: GET /health as JSON, GET /metrics for Prometheus."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from pipelines.domain.errors import PortTaken


class Metrics:
    """Figures of one daemon, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.frame_seconds = Histogram(
            "tradesage_executor_frame_seconds",
            "From a frame in hand to all its work done",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 10.0),
            registry=self.registry,
        )
        self.decide_ms = Histogram(
            "tradesage_executor_decide_ms",
            "From the request to the decisions in hand",
            buckets=(1, 2, 5, 10, 20, 50, 100, 500, 2000),
            registry=self.registry,
        )
        self.open_positions = Gauge("tradesage_executor_open_positions", "Open positions", registry=self.registry)
        self.equity_inr = Gauge("tradesage_executor_equity_inr", "Equity in rupees", registry=self.registry)
        self.alarms = Gauge("tradesage_executor_alarms", "Alarms of this run", registry=self.registry)


class HealthServer:
    """Answers in a thread of its own until `close`."""

    def __init__(self, host: str, port: int, health: Callable[[], dict[str, Any]], metrics: Metrics):
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(health, metrics))
        except OSError as error:
            raise PortTaken(
                f"port {port}, wanted for the executor, cannot be listened on ({error.strerror}); "
                "end the process that does, or set serving.executor_port in params.yaml"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(health: Callable[[], dict[str, Any]], metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                self._answer(200, "application/json", json.dumps(health(), default=str).encode())
            elif self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4", generate_latest(metrics.registry))
            else:
                self._answer(404, "application/json", b'{"error": "known are /health and /metrics"}')

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *what: Any) -> None:
            """Requests of a probe every few seconds are not worth a line."""

    return Handler
