"""What the journal recorded of a version when it was registered, and of its moves: all that may decide about it.

MLflow shows and stores; whoever reaches its pages can write its tags, aliases and files. So source, commit, verdicts,
stages and the hash of the files count only as the journal has them. The record is part of the event that makes a
version the candidate, so it is in the audit chain as well. A version without one may go nowhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from pipelines.domain.origin import REAL_SOURCES
from pipelines.domain.verdicts import Verdict
from pipelines.promotion.stages import Stage

CONTENT = "content_sha256"  #: in the evidence of a move: the hash of the policy's files
REGISTRATION = "registration"  #: in the evidence of the event that makes a version the candidate
ROLLBACK = "rollback_from"  #: in the evidence of a rollback: the champion it removed

Events = Iterable[Mapping[str, Any]]  #: the journal's policy events of one model, oldest first


@dataclass(frozen=True, slots=True)
class Registration:
    """A version as it was registered."""

    version: str
    at: datetime  #: first registered
    registered_by: str
    run: str | None  #: id of the training DAG's run that registered it; None if a person or the demo did
    content: str  #: hash of the policy's files, see `content_hash`
    fingerprint: str  #: of content, parameters, figures and verdicts: equal means the same policy, judged the same
    policy_version: str  #: of the bundle itself
    artifact: str  #: URI under which the files were stored
    commit: str | None  #: that makes this very policy; None if no commit is known to
    source: str  #: simulated | files | lake
    bars: str  #: whose bars it was made on, in words
    planted_edge: str | None  #: of a simulated market
    interval: str
    params: str  #: hash of the parameters it was made with
    metrics: Mapping[str, float]
    verdicts: tuple[Verdict, ...]

    @property
    def is_real(self) -> bool:
        """Whether a market made the bars; what is not known counts as simulated."""
        return self.source in REAL_SOURCES

    def as_record(self) -> dict[str, Any]:
        """The JSON form that the journal keeps."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain | {
            "at": self.at.isoformat(),
            "metrics": dict(self.metrics),
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
        }


def registration_from(record: Mapping[str, Any]) -> Registration | None:
    """A registration from its JSON form; None if it lacks a field, as one of an older release may."""
    names = {field.name for field in fields(Registration)}
    if not names <= record.keys():
        return None
    plain = {name: record[name] for name in names}
    verdicts = tuple(verdict_from(each) for each in record["verdicts"])
    return Registration(**plain | {"at": datetime.fromisoformat(record["at"]), "verdicts": verdicts})


def registrations(events: Events) -> dict[str, Registration]:
    """The last registration of each version.

    MLflow counts versions anew when its tables are lost, so a number may have been another policy before; and a version
    is recorded again when it turns out that a commit makes it. `content` tells the two apart.
    """
    found: dict[str, Registration] = {}
    for event in events:
        registration = registered_by_event(event)
        if registration is not None:
            found[registration.version] = registration
    return found


def registered_by_event(event: Mapping[str, Any]) -> Registration | None:
    """The registration that an event records; None if it is another move."""
    record = event["evidence"].get(REGISTRATION) if event["to_stage"] == Stage.CANDIDATE else None
    registration = registration_from(record) if record else None
    return registration if registration is not None and registration.version == event["version"] else None


def registration_of(events: Events, version: str) -> Registration | None:
    """What was recorded of a version at its registration; None if it was never registered, or before records began."""
    return registrations(events).get(version)


def stages_reached(events: Events, version: str) -> tuple[Stage, ...]:
    """The stages a version has been at since it was registered, each once, the one it entered last at the end."""
    events = list(events)
    registration = registration_of(events, version)
    if registration is None:
        return ()
    reached: list[Stage] = []
    for event in events:
        evidence = event["evidence"]
        if event["version"] == version and evidence.get(CONTENT) == registration.content:
            reached = _entered(reached, Stage(event["to_stage"]))
        elif evidence.get(ROLLBACK) == version and reached:
            reached = _entered(reached, Stage.RETIRED)
    return tuple(reached)


def why_not_offered(registration: Registration | None, run: str | None = None) -> str | None:
    """Why a version may not go to shadow or paper by itself, in one line; None if it may.

    Parameters
    ----------
    run : the training run that offers it; None asks only whether some training run registered it
    """
    if registration is None:
        return UNREGISTERED
    if registration.run is None:
        return f"version {registration.version} was not registered by a training run; a person must promote it"
    if run is not None and registration.run != run:
        return f"version {registration.version} was registered by the run {registration.run}, not by {run}"
    return None


UNREGISTERED = "the journal has no record of its registration; register it again (tradesage register)"


def verdict_from(content: Mapping[str, Any]) -> Verdict:
    """A verdict from its JSON form, see `Verdict.as_dict`."""
    return Verdict(**{**content, "protects": tuple(content.get("protects", ()))})


def _entered(reached: list[Stage], stage: Stage) -> list[Stage]:
    return [*(earlier for earlier in reached if earlier is not stage), stage]
