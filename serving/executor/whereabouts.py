"""Where the last executor of this state folder trades, so that a person who wants to stop it need not know."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.paths import state_folder


@dataclass(frozen=True, slots=True)
class Whereabouts:
    account: str
    broker: str  #: address of Kite or of the paper exchange
    paper: bool  #: whether the exchange's own routes are used
    workspace: str
    port: int  #: of its /health
    pid: int


def whereabouts_file() -> Path:
    return state_folder() / "executor.json"


def note_whereabouts(account: str, broker: str, *, paper: bool, workspace: Path, port: int) -> None:
    """Left behind on purpose when the executor ends: positions outlive it."""
    told = Whereabouts(account, broker, paper, str(workspace.resolve()), port, os.getpid())
    path = whereabouts_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(asdict(told)), encoding="utf-8")
    temporary.replace(path)


def last_whereabouts() -> Whereabouts | None:
    """None if no executor was ever started in this state folder."""
    try:
        return Whereabouts(**json.loads(whereabouts_file().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
