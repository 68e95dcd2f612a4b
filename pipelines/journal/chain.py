"""The audit's hash chain: each entry carries the hash of the one before, so that no entry can be changed unseen."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

FIRST = "0" * 64  #: what the first entry has as the hash before it


@dataclass(frozen=True, slots=True)
class AuditEntry:
    at: datetime
    actor: str
    action: str
    subject: str
    detail: str  #: JSON with sorted keys
    previous: str
    hash: str


def linked(previous: str, at: datetime, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> AuditEntry:
    """The next entry of the chain."""
    text = json.dumps(detail, sort_keys=True, default=str, ensure_ascii=False)
    return AuditEntry(at, actor, action, subject, text, previous, _hash(previous, at, actor, action, subject, text))


def broken_at(entries: Iterable[AuditEntry]) -> int | None:
    """Place (from 0) of the first entry that does not follow from the one before; None if the chain is whole."""
    previous = FIRST
    for place, entry in enumerate(entries):
        expected = _hash(previous, entry.at, entry.actor, entry.action, entry.subject, entry.detail)
        if entry.previous != previous or entry.hash != expected:
            return place
        previous = entry.hash
    return None


def _hash(previous: str, at: datetime, *parts: str) -> str:
    # microseconds in UTC: what PostgreSQL keeps, whichever zone it is read in
    stamp = at.astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256("\x1f".join((previous, stamp, *parts)).encode()).hexdigest()
