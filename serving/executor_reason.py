"""Why the executor enters nothing, in its own words."""

from typing import Any

import httpx

PATIENCE_S = 2.0


def executor_trouble(url: str) -> str | None:
    """What keeps the executor at `url` from entering, in one line with what is open; None if nothing does."""
    try:
        told: Any = httpx.get(f"{url}/health", timeout=PATIENCE_S, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return None
    if not isinstance(told, dict):
        return None
    state = str(told.get("state", ""))
    if state.startswith("waiting for a policy"):
        return f"is {state}"
    if not told.get("no_policy"):
        return None
    open_ = told.get("open_positions") or 0
    held = f"{open_} position{'s' * (open_ != 1)} open and managed" if open_ else "nothing open"
    return f"enters nothing, {held}, no policy: {told['no_policy']}"
