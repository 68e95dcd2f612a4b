"""Why the policy service serves no policy, or another than the one that stands at its alias, in its own words."""

from typing import Any

import httpx

from pipelines.credentials import credential
from serving.stopping import bounded

PATIENCE_S = 2.0
NONE_YET = "it serves none yet; register one and promote it to the alias it loads"


def policy_trouble(url: str) -> str | None:
    """What the service at `url` says is wrong with its policy, in one line; None if it serves what it should."""
    headers = {"Authorization": f"Bearer {credential('policy_token')}"}
    found: list[tuple[int, Any]] = []

    def ask() -> None:
        answer = httpx.post(f"{url}/describe", json={}, headers=headers, timeout=PATIENCE_S, trust_env=False)
        found.append((answer.status_code, answer.json()))

    # the library's time-out is for one read: an answer that drips would be waited for without end
    if bounded(ask, PATIENCE_S, "the policy service") is not None or not found:
        return NONE_YET
    status, told = found[0]
    line = told.get("trouble" if status == 200 else "error") if isinstance(told, dict) else NONE_YET
    return str(line).removeprefix("NotFound: ") if line else None
