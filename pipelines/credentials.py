"""Secrets: from the environment, else from a file of mode 600. What was read is known, so that logs can be kept clean.

The local processes' own secrets are made at first use; a broker's are given by a person and never made up.
"""

import os
import secrets
from pathlib import Path

from pipelines.domain.errors import BadParams, NotFound
from pipelines.paths import state_folder

SHORTEST = 6  #: characters; a shorter text is no secret, and taking it out of a log would garble every line
_known: set[str] = set()


def credential(name: str) -> str:
    """The secret called `name` (lower case, words joined by `_`), e.g. `policy_token`.

    `TRADESAGE_POLICY_TOKEN` wins; otherwise `<state>/credentials/policy_token` is read, or made with a random value.
    A file that others may read is refused.
    """
    found = os.environ.get(f"TRADESAGE_{name.upper()}")
    if found:
        return note_secret(found)
    path = secret_file(name)
    if not path.exists():
        _create(path)
    return read_secret(path)


def given_credential(name: str, what: str) -> str:
    """A secret that a person must give, `what` in words; it is never made.

    Raises
    ------
    NotFound : if it is neither in the environment nor in its file. BadParams : if others may read the file.
    """
    found = os.environ.get(f"TRADESAGE_{name.upper()}")
    if found:
        return note_secret(found)
    path = secret_file(name)
    if not path.exists():
        raise NotFound(f"{what} is not there; set TRADESAGE_{name.upper()}, or write it to {path} with mode 600")
    return read_secret(path)


def secret_file(name: str) -> Path:
    return state_folder() / "credentials" / name


def read_secret(path: Path) -> str:
    """The content of a secret's file; one that its group or others may read is refused."""
    if path.stat().st_mode & 0o077:
        raise BadParams(f"{path} can be read by others; run: chmod 600 {path}")
    return note_secret(path.read_text(encoding="ascii").strip())


def write_secret(path: Path, content: str) -> None:
    """Write or replace a secret's file, whole or not at all, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _written(path, content)
    temporary.replace(path)
    note_secret(content)


def note_secret(secret: str) -> str:
    """Know a secret, so that `without_secrets` takes it out."""
    if len(secret) >= SHORTEST:
        _known.add(secret)
    return secret


def without_secrets(text: str) -> str:
    """The text with every secret that this process has read replaced by `***`."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _written(path, secrets.token_urlsafe(32))
    try:
        os.link(temporary, path)  # the first of two processes wins, the other reads the winner's
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _written(path: Path, content: str) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(content)
    return temporary
