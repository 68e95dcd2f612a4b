"""Asks the policy service. No answer within the deadline is no decision, and no decision is no order."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from pipelines.deadlines import hold, within
from pipelines.domain.errors import BadInput, FeatureMismatch, ServiceUnavailable, TradeSageError
from pipelines.domain.signals import FeatureRow
from serving.executor.policy_answer import Answer, Served, decisions_from, served_from
from serving.wire import row_to_wire

__all__ = ["Answer", "PolicyClient", "Served"]
LARGEST_ANSWER = 16_000_000  #: bytes; decisions on 500 instruments by nine heads have about two million
LONGEST_LINE = 300  #: characters of what the service gives as its reason


class PolicyClient:
    """Parameters: where the service is, its token, and the milliseconds from a question to the whole of its answer."""

    def __init__(self, url: str, token: str, deadline_ms: int):
        self._url, self._deadline_s = url.rstrip("/"), deadline_ms / 1000
        self.answers = True  #: whether the last request was answered, by what is an answer
        self.trouble = ""  #: why the last request brought no decisions or no description; empty if it did
        self._session = hold(requests.Session())
        self._session.trust_env = False
        self._session.headers.update({"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"})

    def close(self) -> None:
        self._session.close()

    def describe(self) -> Served:
        """Raises ServiceUnavailable if there is no service, no policy on its alias, or no description of one."""
        with self._noting_trouble():
            return self._describe()

    def _describe(self) -> Served:
        told = self._ask("describe", {})
        try:
            return served_from(told)
        except BadInput as error:
            self.answers = False
            raise ServiceUnavailable(
                f"the policy service at {self._url} describes no policy ({error}); restart it, or see who answers"
            ) from None

    def decide(self, rows: Sequence[FeatureRow], equity: Decimal) -> Answer:
        """Decisions on the rows of one close; what is no decision on one of them is left out, and told in `faults`.

        Raises
        ------
        FeatureMismatch : if the policy wants other features.
        ServiceUnavailable : if there is no answer within the deadline, or what comes is none.
        """
        with self._noting_trouble():
            return self._decide(rows, equity)

    def _decide(self, rows: Sequence[FeatureRow], equity: Decimal) -> Answer:
        began = time.perf_counter()
        content = {"rows": [row_to_wire(row) for row in rows], "equity_inr": str(equity)}
        told = self._ask("decide", content)
        try:
            decisions, faults = decisions_from(told, rows, equity)
        except BadInput as error:
            self.answers = False
            raise ServiceUnavailable(f"the policy service at {self._url} gives no decisions: {error}") from None
        version = str(told["policy_version"])
        return Answer(decisions, version, round((time.perf_counter() - began) * 1000, 3), faults)

    @contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        try:
            yield
        except TradeSageError as error:
            self.trouble = f"{type(error).__name__}: {error}"
            raise
        self.trouble = ""

    def _ask(self, route: str, content: dict[str, Any]) -> dict[str, Any]:
        try:
            with within(self._deadline_s, LARGEST_ANSWER):
                status, body = self._post(f"{self._url}/{route}", content)
        except (requests.RequestException, HTTPError, OSError) as error:
            self.answers = False
            raise ServiceUnavailable(
                f"the policy service at {self._url} does not answer {route} in time ({type(error).__name__}); "
                "start it: make up"
            ) from None
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        self.answers = status == 200 and isinstance(told, dict)
        if status == 200 and isinstance(told, dict):
            return told
        line = str(told.get("error", "") if isinstance(told, dict) else "")[:LONGEST_LINE]
        if status == 409:
            raise FeatureMismatch(line.removeprefix("FeatureMismatch: "))
        if status in (400, 422):
            raise TradeSageError(f"the policy service refuses {route}: {line or status}")
        raise ServiceUnavailable(f"the policy service at {self._url} answers {status}: {line or 'no reason'}")

    def _post(self, address: str, content: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body, as it came: what is packed could unpack to anything."""
        timeout = self._deadline_s
        with self._session.post(address, json=content, timeout=timeout, allow_redirects=False, stream=True) as answer:
            return answer.status_code, answer.raw.read(decode_content=False)
