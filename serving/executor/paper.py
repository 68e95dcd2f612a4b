"""The few routes that the paper exchange has beside Kite's: its clock's state, and "I am done with this frame"."""

from typing import Any

import requests

from pipelines.deadlines import hold, within
from pipelines.domain.errors import ServiceUnavailable

DEADLINE_S = 20.0  #: of a call as a whole; a step of the market may take long


class PaperMarket:
    """Parameters: where the exchange is, and the token of its own routes."""

    def __init__(self, url: str, token: str):
        self._url = url.rstrip("/")
        self._session = hold(requests.Session())
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def status(self) -> dict[str, Any]:
        return self._ask("GET", "status", "run", "pace", "clock", "state", "last_day")

    def go_on(self) -> bool:
        """Let the exchange make its next step; whether the market is over after it."""
        return bool(self._ask("POST", "continue", "finished")["finished"])

    def close(self) -> None:
        self._session.close()

    def _ask(self, method: str, route: str, *fields: str) -> dict[str, Any]:
        try:
            with within(DEADLINE_S):
                answer = self._session.request(method, f"{self._url}/paper/{route}", timeout=DEADLINE_S)
        except (requests.RequestException, OSError) as error:
            raise ServiceUnavailable(
                f"the exchange at {self._url} does not answer ({type(error).__name__}); start it: make up"
            ) from None
        if answer.status_code == 401:
            raise ServiceUnavailable(
                f"the exchange at {self._url} refuses our token; both must use the same state folder (TRADESAGE_STATE)"
            )
        if answer.status_code != 200:
            raise ServiceUnavailable(f"the exchange at {self._url} answers {answer.status_code} to /paper/{route}")
        try:
            told = answer.json()
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or any(field not in told for field in fields):
            raise ServiceUnavailable(f"what answers at {self._url} is no paper exchange; see who listens there")
        return told
