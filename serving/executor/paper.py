"""The few routes that the paper exchange has beside Kite's: its clock's state, and "I am done with this frame"."""

from typing import Any

import httpx

from pipelines.domain.errors import ServiceUnavailable


class PaperMarket:
    """Parameters: where the exchange is, and the token of its own routes."""

    def __init__(self, url: str, token: str):
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(timeout=20.0, headers=headers, trust_env=False)

    def status(self) -> dict[str, Any]:
        return self._ask("GET", "status")

    def go_on(self) -> bool:
        """Let the exchange make its next step; whether the market is over after it."""
        return bool(self._ask("POST", "continue")["finished"])

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, route: str) -> dict[str, Any]:
        try:
            answer = self._client.request(method, f"{self._url}/paper/{route}")
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"the exchange at {self._url} does not answer ({type(error).__name__}); start it: make up"
            ) from None
        if answer.status_code == 401:
            raise ServiceUnavailable(
                f"the exchange at {self._url} refuses our token; both must use the same state folder (TRADESAGE_STATE)"
            )
        if answer.status_code != 200:
            raise ServiceUnavailable(f"the exchange at {self._url} answers {answer.status_code} to /paper/{route}")
        return answer.json()
