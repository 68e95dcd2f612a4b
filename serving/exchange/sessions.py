"""Log-in as at Kite: keys, a request token that is used once, the access token that every other call carries."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from starlette.requests import Request

from serving.exchange.refusals import input_error, token_error


@dataclass(frozen=True)
class Keys:
    """The secrets of the paper broker's one account."""

    api_key: str
    api_secret: str
    admin_token: str


@dataclass
class Sessions:
    """Log-in as at Kite: a request token, used once, becomes an access token; here it lives until log-out."""

    keys: Keys
    _request_tokens: set[str] = field(default_factory=set)
    _access_tokens: set[str] = field(default_factory=set)

    def log_in(self, api_key: str) -> str:
        if not hmac.compare_digest(api_key, self.keys.api_key):
            raise input_error("Invalid `api_key`.")
        token = secrets.token_urlsafe(24)
        self._request_tokens.add(token)
        return token

    def exchange(self, api_key: str, request_token: str, checksum: str) -> str:
        expected = hashlib.sha256((self.keys.api_key + request_token + self.keys.api_secret).encode()).hexdigest()
        if api_key != self.keys.api_key or request_token not in self._request_tokens:
            raise token_error("Token is invalid or has expired.")
        self._request_tokens.discard(request_token)
        if not hmac.compare_digest(checksum, expected):
            raise token_error("Invalid `checksum`.")
        token = secrets.token_urlsafe(24)
        self._access_tokens.add(token)
        return token

    def log_out(self, access_token: str) -> None:
        self._access_tokens.discard(access_token)

    def knows(self, api_key: str, access_token: str) -> bool:
        return api_key == self.keys.api_key and access_token in self._access_tokens

    def check(self, request: Request) -> None:
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        api_key, _, access_token = pair.partition(":")
        if kind != "token" or not self.knows(api_key, access_token):
            raise token_error()
