"""Log-in as at Kite: keys, a request token that is used once and soon, an access token that dies at six in the morning.

Source: kite.trade/docs/connect/v3/user: the request token lives a few minutes, the access token until 06:00 of the next
day (a rule of the regulator) or until log-out.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from starlette.requests import Request

from pipelines.domain.bars import IST
from serving.exchange.refusals import input_error, token_error

REQUEST_TOKEN_SECONDS = 300.0  #: of the wall clock; Kite says a few minutes
MORNING_HOUR = 6  #: in India, when access tokens die
MAX_REQUEST_TOKENS = 1000  #: that wait to be used; the oldest goes first


@dataclass(frozen=True)
class Keys:
    """The secrets of the paper broker's one account."""

    api_key: str
    api_secret: str
    admin_token: str


@dataclass
class Sessions:
    """Who is logged in.

    Parameters
    ----------
    keys : Keys
    clock : gives the market's time
    expiring : bool
        Whether access tokens die in the morning; without it they live until log-out.
    """

    keys: Keys
    clock: Callable[[], datetime]
    expiring: bool = True
    _request_tokens: dict[str, float] = field(default_factory=dict)
    _access_tokens: dict[str, datetime] = field(default_factory=dict)  # and the market's time at which they die

    def log_in(self, api_key: str) -> str:
        """A request token for who proves by `exchange` that he knows the secret."""
        if not _same(api_key, self.keys.api_key):
            raise input_error("Invalid `api_key`.")
        token = secrets.token_urlsafe(24)
        while len(self._request_tokens) >= MAX_REQUEST_TOKENS:
            del self._request_tokens[next(iter(self._request_tokens))]
        self._request_tokens[token] = time.monotonic()
        return token

    def exchange(self, api_key: str, request_token: str, checksum: str) -> str:
        """An access token for a request token; whatever comes of it, the request token is used."""
        expected = hashlib.sha256((self.keys.api_key + request_token + self.keys.api_secret).encode()).hexdigest()
        given_at = self._request_tokens.pop(request_token, None) if _same(api_key, self.keys.api_key) else None
        if given_at is None or time.monotonic() - given_at > REQUEST_TOKEN_SECONDS:
            raise token_error("Token is invalid or has expired.")
        if not _same(checksum, expected):
            raise token_error("Invalid `checksum`.")
        token = secrets.token_urlsafe(24)
        self._access_tokens[token] = next_morning(self.clock())
        return token

    def log_out(self, access_token: str) -> None:
        self._access_tokens.pop(access_token, None)

    def expire(self) -> None:
        """Every access token dies at once."""
        self._access_tokens.clear()

    def knows(self, api_key: str, access_token: str) -> bool:
        dies_at = self._access_tokens.get(access_token)
        if dies_at is None or api_key != self.keys.api_key:
            return False
        if self.expiring and self.clock() >= dies_at:
            del self._access_tokens[access_token]
            return False
        return True

    def check(self, request: Request) -> None:
        """Refuse a call that does not carry a living token."""
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        api_key, _, access_token = pair.partition(":")
        if kind != "token" or not self.knows(api_key, access_token):
            raise token_error()


def next_morning(moment: datetime) -> datetime:
    """The first 06:00 in India after `moment`."""
    local = moment.astimezone(IST)
    morning = local.replace(hour=MORNING_HOUR, minute=0, second=0, microsecond=0)
    return morning if local < morning else morning + timedelta(days=1)


def _same(one: str, other: str) -> bool:
    """Compared in constant time; bytes, since text beyond ASCII is not comparable so."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
