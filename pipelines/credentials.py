"""Secrets of the local processes: from the environment, else from a file of mode 600 that is made at first use."""

import os
import secrets
from pathlib import Path

from pipelines.domain.errors import BadParams
from pipelines.paths import state_folder


def credential(name: str) -> str:
    """The secret called `name` (lower case, words joined by `_`), e.g. `policy_token`.

    `TRADESAGE_POLICY_TOKEN` wins; otherwise `<state>/credentials/policy_token` is read, or made with a random value.
    A file that others may read is refused.
    """
    found = os.environ.get(f"TRADESAGE_{name.upper()}")
    if found:
        return found
    path = state_folder() / "credentials" / name
    if not path.exists():
        _create(path)
    if path.stat().st_mode & 0o077:
        raise BadParams(f"{path} can be read by others; run: chmod 600 {path}")
    return path.read_text(encoding="ascii").strip()


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32))
    try:
        os.link(temporary, path)  # the first of two processes wins, the other reads the winner's
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
