"""The client's access to the broker: where the day's token comes from, and the change to a new one in mid-session."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pipelines.credentials import credential, given_credential, note_secret, read_secret, secret_file, write_secret
from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, ServiceUnavailable
from serving.executor.kite_client import KITE
from serving.executor.login import Token, paper_log_in

LOOK_EVERY_S = 1.0  #: for a person's log-in


class TokenSource(Protocol):
    """Where a token comes from."""

    def token(self) -> Token | None:
        """One that is valid now, None if there is none."""
        ...


@dataclass(frozen=True)
class Keys:
    """The application's key and secret; they have no readable form."""

    api_key: str
    api_secret: str

    def __repr__(self) -> str:
        return "Keys(***)"


def keys_for(root: str) -> Keys:
    """Kite's keys are given by a person; a paper exchange on this machine has those of the state folder."""
    if root == KITE:
        return Keys(
            given_credential("kite_live_api_key", "the API key of your Kite Connect app"),
            given_credential("kite_live_api_secret", "the API secret of your Kite Connect app"),
        )
    return Keys(credential("kite_api_key"), credential("kite_api_secret"))


def token_file(root: str) -> Path:
    """Where `tradesage login` leaves the day's token: one for Kite, another for paper exchanges."""
    return secret_file("kite_live_token" if root == KITE else "kite_paper_token")


def keep_token(path: Path, token: Token) -> None:
    """Write the token for the executor, readable by its owner only."""
    told = {
        "user_id": token.user_id,
        "access_token": token.access_token,
        "expires_at": token.expires_at.isoformat(),
    }
    note_secret(token.access_token)
    write_secret(path, json.dumps(told))


@dataclass
class TokenFile:
    """What a person's log-in left; looked at again whenever a token is wanted."""

    path: Path
    now: Callable[[], datetime] = lambda: datetime.now(IST)

    def token(self) -> Token | None:
        """Raises BadParams if others may read the file, BadInput if it is not what `tradesage login` writes."""
        if not self.path.exists():
            return None
        try:
            told = json.loads(read_secret(self.path))
            token = Token(told["user_id"], told["access_token"], datetime.fromisoformat(told["expires_at"]))
        except (ValueError, KeyError, TypeError):
            problem = f"{self.path} holds no token; run: tradesage login"
        else:
            note_secret(token.access_token)
            return token if token.is_valid(self.now()) else None
        raise BadInput(problem)


@dataclass
class PaperLogin:
    """A paper exchange gives a token whenever one is wanted."""

    root: str
    keys: Keys
    now: Callable[[], datetime] = lambda: datetime.now(IST)

    def token(self) -> Token | None:
        try:
            token = paper_log_in(self.root, self.keys.api_key, self.keys.api_secret, self.now())
        except ServiceUnavailable:
            return None
        note_secret(token.access_token)
        return token


@dataclass
class Access:
    """A client that has a token, or waits for one."""

    kite: Any
    source: TokenSource
    token: Token | None = None

    def renew(self) -> bool:
        """Take up a token other than the present one; False if there is none yet."""
        found = self.source.token()
        if found is None or (self.token is not None and found.access_token == self.token.access_token):
            return False
        self.token = found
        self.kite.set_access_token(found.access_token)
        return True

    def await_token(self, tell: Callable[[str], None]) -> None:
        """Go on once there is a token of today: at a paper exchange at once, at Kite when a person has logged in.

        Raises
        ------
        ServiceUnavailable : if a paper exchange gives none.
        """
        told = False
        while (self.token is None or not self.token.is_valid(datetime.now(IST))) and not self.renew():
            if not isinstance(self.source, TokenFile):
                raise ServiceUnavailable("the exchange gives no token; start it, with the same credentials")
            if not told:
                tell("waiting for tradesage login: there is no token of today")
                told = True
            time.sleep(LOOK_EVERY_S)
