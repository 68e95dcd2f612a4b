"""Why the policy service serves no policy, or another than the one that stands at its alias, in its own words."""

import httpx

from pipelines.credentials import credential

PATIENCE_S = 2.0
NONE_YET = "it serves none yet; register one and promote it to the alias it loads"


def policy_trouble(url: str) -> str | None:
    """What the service at `url` says is wrong with its policy, in one line; None if it serves what it should."""
    headers = {"Authorization": f"Bearer {credential('policy_token')}"}
    try:
        answer = httpx.post(f"{url}/describe", json={}, headers=headers, timeout=PATIENCE_S, trust_env=False)
        told = answer.json()
    except (httpx.HTTPError, ValueError):
        return NONE_YET
    line = told.get("trouble" if answer.status_code == 200 else "error") if isinstance(told, dict) else NONE_YET
    return str(line).removeprefix("NotFound: ") if line else None
