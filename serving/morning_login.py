"""`tradesage login`: a person logs in at the broker each morning; the day's token is kept for the executor.

The broker's own page asks for password and second factor: neither ever comes near this program. What comes back is a
request token, good for minutes and once; key and secret turn it into the access token that lives until six in the
morning. None of them is printed.
"""

import secrets
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, PortTaken, ServiceUnavailable
from serving.executor.access import keep_token, keys_for, token_file
from serving.executor.kite_client import KITE, LOOPBACK
from serving.executor.login import Token, exchange_request_token, login_page, paper_log_in, request_token_from
from serving.small_server import SmallHandler, SmallServer

PLAIN = "text/plain; charset=utf-8"
PATIENCE_S = 300.0  #: a request token lives for minutes, so does the wait for it
Say = Callable[[str], None]
Ask = Callable[[str], str]


def log_in(exchange: str | None, port: int | None, say: Say, ask: Ask, open_page: Callable[[str], object]) -> Path:
    """Log in at Kite, or at a paper exchange, and keep the token; the file it is in.

    Parameters
    ----------
    exchange : address of a paper exchange on this machine, which logs in by itself; None for Kite
    port : of 127.0.0.1, where the app's redirect address points to; None: the address is pasted
    say, ask : functions of a line; what is asked for is not echoed
    open_page : function that shows an address in a browser

    Raises
    ------
    NotFound, BadParams : if key or secret are not there, or others may read their files.
    BadInput, ServiceUnavailable : if the log-in did not succeed.
    """
    root = _root(exchange)
    keys = keys_for(root)
    now = datetime.now(IST)
    if root != KITE:
        token = paper_log_in(root, keys.api_key, keys.api_secret, now)
    else:
        token = exchange_request_token(
            root, keys.api_key, keys.api_secret, _ask_a_person(root, keys.api_key, port, say, ask, open_page), now
        )
    path = token_file(root)
    keep_token(path, token)
    say(_told(token))
    return path


def _root(exchange: str | None) -> str:
    if exchange is None:
        return KITE
    if not exchange.startswith(LOOPBACK):
        raise BadInput(f"--exchange {exchange}: a paper exchange runs on this machine; leave it out to log in at Kite")
    return exchange.rstrip("/")


def _ask_a_person(root: str, api_key: str, port: int | None, say: Say, ask: Ask, open_page: Callable) -> str:
    state = secrets.token_urlsafe(16)
    page = login_page(root, api_key, state)
    if port is None:
        say("log in at Kite in the browser; then paste the address it sends you to (or the request token in it)")
        open_page(page)
        return request_token_from(ask("address or request token"), state)
    with Redirect(port, state) as redirect:
        say(f"log in at Kite in the browser; the redirect is awaited at http://127.0.0.1:{port}")
        open_page(page)
        return redirect.wait(PATIENCE_S)


def _told(token: Token) -> str:
    return f"logged in as {token.user_id}; the token is good until {token.expires_at:%Y-%m-%d %H:%M} IST"


class Redirect:
    """Waits on loopback for the browser's redirect; one that does not carry our state is refused and waited past."""

    def __init__(self, port: int, state: str):
        self._found, self._come = "", threading.Event()
        try:
            self._server = SmallServer(("127.0.0.1", port), self._handler(state))
        except OSError as error:
            raise PortTaken(f"port {port} cannot be listened on ({error.strerror}); choose another --port") from None

    def __enter__(self) -> "Redirect":
        threading.Thread(target=self._server.serve_forever, name="redirect", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, seconds: float) -> str:
        """The request token. Raises ServiceUnavailable if no redirect of our log-in came."""
        if not self._come.wait(seconds):
            raise ServiceUnavailable(f"no log-in came back within {seconds:.0f} s; run tradesage login once more")
        return self._found

    def _handler(self, state: str) -> type[SmallHandler]:
        redirect = self

        class Handler(SmallHandler):
            def do_GET(self) -> None:
                super().do_GET()
                if redirect._found:  # the browser has its answer before we leave
                    redirect._come.set()

            def answer_to(self, path: str) -> tuple[int, str, bytes]:
                try:
                    if f"state={state}" not in path.partition("?")[2].split("&"):
                        raise BadInput("this is no redirect of the log-in that is awaited")
                    found = request_token_from(path, state)
                except BadInput as error:
                    return 400, PLAIN, str(error).encode()
                redirect._found = found
                return 200, PLAIN, b"TradeSage has what it needs; this page may be closed."

        return Handler
