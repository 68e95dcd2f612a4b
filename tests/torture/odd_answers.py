"""A policy service whose answers are spoiled, or come byte by byte, at bars that the seed draws."""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipelines.domain.signals import FeatureRow
from serving.executor.policy_client import Answer, PolicyClient
from serving.wire import decision_to_wire, row_from_wire
from tests.odd_answers import spoiled
from tests.torture.neighbours import POLICY_DEADLINE_MS
from tests.torture.schedule import Schedule
from tests.torture.whims import Whims


class AskedWhims(Whims):
    """The whims, asked over HTTP by the real client."""

    def __init__(self, schedule: Schedule, address: str):
        super().__init__(schedule)
        self._client = PolicyClient(address, "whims", POLICY_DEADLINE_MS)

    def decide(self, rows: Sequence[FeatureRow], equity: Decimal) -> Answer:
        return self._client.decide(rows, equity)


@contextmanager
def odd_policy(schedule: Schedule) -> Iterator[tuple[str, Counter[str]]]:
    """Address of the service, "" if the day's policy is honest; and what it did, by kind."""
    counts = Counter[str]()
    if not schedule.neighbours.policy_is_odd:
        yield "", counts
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(schedule, counts))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", counts
    finally:
        server.shutdown()
        server.server_close()


def _handler(schedule: Schedule, counts: Counter[str]) -> type[BaseHTTPRequestHandler]:
    whims, neighbours = Whims(schedule), schedule.neighbours

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            rows = [row_from_wire(row) for row in content["rows"]]
            answer = whims.decide(rows, Decimal(content["equity_inr"]))
            told: dict[str, Any] = {
                "decisions": [decision_to_wire(decision) for decision in answer.decisions],
                "policy_version": answer.policy_version,
            }
            draw = _dice(schedule.seed, rows)
            chance, body = draw.random(), json.dumps(told).encode()
            if chance < neighbours.odd_answers:
                counts["odd policy answer"] += 1
                body = spoiled(told, draw)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            with suppress(OSError):
                if draw.random() < neighbours.policy_drips:
                    counts["dripping policy answer"] += 1
                    self._drip(head + body)
                else:
                    self.wfile.write(head + body)

        def _drip(self, content: bytes) -> None:
            self.close_connection = True
            for byte in content[:200]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)

        def log_message(self, *what: Any) -> None:
            pass

    return Handler


def _dice(seed: int, rows: Sequence[FeatureRow]) -> random.Random:
    """The same for every daemon of a day at the same close."""
    close = rows[0].close_time.isoformat() if rows else ""
    return random.Random(hashlib.sha256(f"{seed} {close} odd".encode()).digest())
