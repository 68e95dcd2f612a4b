"""From the broker's log-in page to an access token: a person's redirect is read, its request token exchanged."""

import hmac
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from urllib.parse import parse_qs, urlencode, urlparse

from pipelines.deadlines import hold, within
from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, ServiceUnavailable
from serving.executor.kite_client import KITE, client

KITE_LOGIN = "https://kite.zerodha.com/connect/login"
#: A token lives until six in the morning of the next day, whenever it was made (kite.trade/docs/connect/v3/user)
EXPIRES_AT = time(6, 0)
LOG_IN_S = 5.0  #: that the paper exchange's page may take as a whole


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A day's access to an account. It is a secret: it has no readable form."""

    user_id: str
    access_token: str
    expires_at: datetime

    def is_valid(self, now: datetime) -> bool:
        return now < self.expires_at

    def __repr__(self) -> str:
        return f"Token({self.user_id}, until {self.expires_at:%Y-%m-%d %H:%M})"


def expiry(made_at: datetime) -> datetime:
    """When a token made at a moment dies: at the next six in the morning, of the day after."""
    morning = datetime.combine(made_at.astimezone(IST).date(), EXPIRES_AT, tzinfo=IST)
    return morning if made_at < morning else morning + timedelta(days=1)


def login_page(root: str, api_key: str, state: str) -> str:
    """Where a person logs in; `state` comes back with the redirect, so that nobody else's is taken for it."""
    page = KITE_LOGIN if root == KITE else f"{root}/connect/login"
    query = {"v": "3", "api_key": api_key, "redirect_params": urlencode({"state": state})}
    return f"{page}?{urlencode(query)}"


def request_token_from(told: str, state: str) -> str:
    """The request token of a redirect's address, or one given by itself.

    Raises
    ------
    BadInput : if the log-in failed, or the redirect belongs to another log-in.
    """
    told = told.strip()
    if "=" not in told and "/" not in told:
        if not told.isalnum() and not told.replace("-", "").replace("_", "").isalnum():
            raise BadInput("this is no request token; give the whole address that the browser was sent to")
        return told
    query = parse_qs(urlparse(told).query or told)
    found = query.get("request_token", [""])[0]
    if query.get("status", ["success"])[0] != "success" or not found:
        raise BadInput("the log-in did not succeed: the address carries no request token; log in once more")
    came_back = query.get("state", [state])[0]
    if not hmac.compare_digest(came_back.encode(), state.encode()):
        raise BadInput("the address belongs to another log-in (its state differs); log in once more")
    return found


def exchange_request_token(root: str, api_key: str, api_secret: str, request_token: str, now: datetime) -> Token:
    """Make the day's token; the request token is used up by it, whatever the answer.

    Raises
    ------
    ServiceUnavailable : if the broker does not answer or refuses it. No secret stands in the message.
    """
    try:
        told = client(api_key, root).generate_session(request_token, api_secret)
        return Token(str(told["user_id"]), str(told["access_token"]), expiry(now))
    except Exception as error:  # its text may carry the address and what was sent
        reason = type(error).__name__
    raise ServiceUnavailable(f"{root} gives no token ({reason}); check key and secret, then log in once more")


def paper_log_in(root: str, api_key: str, api_secret: str, now: datetime) -> Token:
    """The paper exchange logs in by itself.

    Raises
    ------
    ServiceUnavailable : if it does not answer or refuses the keys.
    """
    import requests

    session = hold(requests.Session())
    session.trust_env = False  # proxies of the environment are not for what runs on this machine
    try:
        query = {"v": "3", "api_key": api_key}
        with within(LOG_IN_S):
            answer = session.get(f"{root}/connect/login", params=query, allow_redirects=False, timeout=LOG_IN_S)
    except requests.RequestException as error:
        reason = type(error).__name__
    else:
        found = parse_qs(urlparse(answer.headers.get("location", "")).query).get("request_token", [""])[0]
        if found:
            return exchange_request_token(root, api_key, api_secret, found, now)
        reason = f"HTTP {answer.status_code}"
    raise ServiceUnavailable(f"cannot log in at {root} ({reason}); start the exchange, with the same credentials")
