"""How often a client may call: so many in each calendar second, minute and day of the wall clock; more are refused.

Kite counts by api key and does not queue. A refused call is not counted. Numbers: `pipelines/domain/api_limits.py`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType

from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.domain.api_limits import api_limits_on
from pipelines.domain.bars import IST
from serving.exchange.json_answers import refusal
from serving.exchange.refusals import too_many_requests

WINDOWS: Mapping[str, int] = MappingProxyType({"second": 1, "minute": 60, "day": 86_400})
INDIA_SECONDS = int(5.5 * 3600)  #: a day begins at midnight in India
NO_LIMITS: Mapping[str, Mapping[str, int]] = MappingProxyType({})

Limits = Mapping[str, Mapping[str, int]]  #: of quote, historical, orders, other: the most for each period


def kite_limits(day: date | None = None) -> dict[str, dict[str, int]]:
    """Kite's limits of calls on a day, today by default."""
    limits: dict[str, dict[str, int]] = {}
    for limit in api_limits_on(day or datetime.now(IST).date()):
        if limit.per in WINDOWS:
            limits.setdefault(limit.name, {})[limit.per] = limit.most
    return limits


def ticker_limits(day: date | None = None) -> tuple[int, int]:
    """Most connections of an api key, and most instruments of a connection."""
    most = {limit.name: limit.most for limit in api_limits_on(day or datetime.now(IST).date())}
    return most["ticker_connections"], most["ticker_instruments"]


def group_of(method: str, path: str) -> str:
    """Which limit a call falls under."""
    first, _, rest = path.lstrip("/").partition("/")
    if first == "quote":
        return "quote"
    if first == "instruments" and rest.startswith("historical/"):
        return "historical"
    return "orders" if first == "orders" and method in ("POST", "PUT", "DELETE") else "other"


@dataclass
class RateLimits:
    """Counts of the calls of each api key in the windows that run now."""

    limits: Limits
    clock: Callable[[], float] = time.time
    _counts: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)  # window's number, calls in it

    def admit(self, api_key: str, group: str) -> bool:
        """Count a call, unless it is one too many in any of its windows."""
        now = self.clock() + INDIA_SECONDS
        counted = {}
        for per, most in self.limits.get(group, {}).items():
            window = int(now // WINDOWS[per])
            began, calls = self._counts.get((api_key, group, per), (window, 0))
            calls = calls if began == window else 0
            if calls >= most:
                return False
            counted[api_key, group, per] = (window, calls + 1)
        self._counts |= counted
        return True


class LimitedCalls:
    """ASGI middleware that answers 429 to what is too much; only the exchange's own api key is counted."""

    def __init__(self, app: ASGIApp, limits: RateLimits, api_key: str):
        self._app, self._limits, self._key = app, limits, f"token {api_key}:".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(("/paper", "/healthz")):
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            group = group_of(scope["method"], scope["path"])
            if given.startswith(self._key) and not self._limits.admit(self._key.decode(), group):
                await refusal(too_many_requests())(scope, receive, send)
                return
        await self._app(scope, receive, send)
