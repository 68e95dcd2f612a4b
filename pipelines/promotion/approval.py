"""A person's yes: what is asked, what counts as an answer, and the move or the refusal that follows.

Every answer ends in the journal: a move with who allowed it, or a refused move with who said no. Nobody's answer within
the time that was given is a refusal, too.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.errors import NotFound
from pipelines.params import load_params
from pipelines.promotion.evidence import Evidence, gather_evidence
from pipelines.promotion.ladder import (
    AUTOMATON,
    AliasStore,
    PolicyJournal,
    Promotion,
    promote,
    rollback,
    way_back,
)
from pipelines.promotion.registration import UNREGISTERED, registration_of, stages_reached
from pipelines.promotion.signatures import signatures
from pipelines.promotion.stages import Stage
from pipelines.promotion.track_record import with_track

APPROVE = "Approve"


class Move(StrEnum):
    """What a person may ask for."""

    SHADOW = "shadow"
    PAPER = "paper"
    CANARY = "canary"
    CHAMPION = "champion"
    RETIRE = "retire"  #: the version leaves every stage
    ROLLBACK = "rollback"  #: the champion before the present one comes back


@dataclass(frozen=True)
class Approval:
    """A reviewer's yes."""

    person: str
    at: str  #: ISO time
    comment: str


@dataclass(frozen=True)
class NotMoved:
    """Why a promotion was not made, in one line, and who said so."""

    reason: str
    who: str = AUTOMATON


@dataclass(frozen=True)
class Request:
    """A move that is asked for, as it is shown to a reviewer."""

    version: str
    move: str
    subject: str  #: the question
    shown: str  #: Markdown: all that is known
    digest: str  #: of what the move rests on
    refused: str | None = None  #: why nobody needs to be asked, in one line
    verdicts: tuple[dict[str, Any], ...] = ()  #: those that refuse it


def approval_from(answer: Mapping[str, Any] | None, reviewers: Collection[str]) -> Approval | NotMoved:
    """The approval in the answer to a required action, or why it is none.

    A task that was marked as done has no answer, and one that timed out has no person.

    Parameters
    ----------
    answer : what Airflow's approval returns: `chosen_options, params_input, responded_at, responded_by_user`
    reviewers : ids of those who may approve
    """
    if not answer:
        return NotMoved("nobody answered the required action; a task that is marked as done approves nothing")
    person = str((answer.get("responded_by_user") or {}).get("id") or "")
    comment = str((answer.get("params_input") or {}).get("comment") or "").strip()
    if list(answer.get("chosen_options") or ()) != [APPROVE]:
        if not person:
            return NotMoved(f"the answer is not {APPROVE}: nobody answered in time")
        return NotMoved(f"the answer is not {APPROVE}: {person} rejected it ({comment or 'without a comment'})", person)
    if person not in reviewers:
        return NotMoved(f"{person or 'no person'} gave the answer; a reviewer ({', '.join(reviewers)}) must")
    if not comment:
        return NotMoved(f"{person} approved without a comment; say what the approval rests on", person)
    return Approval(person=person, at=str(answer.get("responded_at")), comment=comment)


def ask(model: str, journal: PolicyJournal, version: str | None, move: str, repo: Path) -> Request:
    """What a reviewer is to be shown of a move, or why it is refused before anybody is asked.

    Parameters
    ----------
    version : of the registry; a rollback needs none

    Raises
    ------
    NotFound : the journal has no registration of that version, or none was given.
    """
    if move == Move.ROLLBACK:
        return _ask_rollback(model, journal)
    if not version:
        raise NotFound(f"no version was given; {move} needs one of the registry, for example 3")
    if move == Move.RETIRE:
        return _ask_retirement(model, journal, version)
    evidence = all_evidence(model, journal, version, move, repo)
    there = f"version {version} stands at {move} already; nothing is to be moved" if move in evidence.standing else None
    return Request(
        version=version,
        move=move,
        subject=f"Promote policy version {version} to {move}?",
        shown=evidence.as_markdown(),
        digest=evidence.digest,
        refused=there or (evidence.in_one_line() if evidence.against else None),
        verdicts=tuple(verdict.as_dict() for verdict in evidence.against),
    )


def all_evidence(model: str, journal: PolicyJournal, version: str, stage: str, repo: Path) -> Evidence:
    """The gates' verdicts, whether they can be trusted, and the record at the stage before."""
    events = journal.policy_events(model)
    evidence = gather_evidence(events, version, stage, repo)
    return with_track(evidence, events, journal, load_params(repo / "params.yaml"))


def answered(
    registry: AliasStore,
    journal: PolicyJournal,
    asked: Mapping[str, Any],
    answer: Mapping[str, Any] | None,
    reviewers: Collection[str],
    repo: Path,
    run: str,
) -> Promotion | NotMoved:
    """Make the move that a reviewer approved, or journal who did not.

    Parameters
    ----------
    asked : `version, move, digest` of the request as it was shown
    run : where it was asked, for the journal
    """
    approval = approval_from(answer, reviewers)
    if isinstance(approval, NotMoved):
        done: Promotion | NotMoved = approval
    else:
        before = _made_before(registry.model, journal, asked, run)
        done = before or _make(registry, journal, asked, approval, repo, run)
    if isinstance(done, NotMoved):
        refuse(registry.model, journal, asked, done, run)
    return done


def refuse(model: str, journal: PolicyJournal, asked: Mapping[str, Any], why: NotMoved, run: str) -> None:
    """Journal a move that a person asked for and that was not made; once, though the run tells of it again."""
    told = (asked["version"], asked["move"], why.who, why.reason, run)
    if told in [
        (row["version"], row["asked"], row["actor"], row["reason"], row["evidence"].get("run"))
        for row in journal.policy_refusals(model)
    ]:
        return
    journal.record_policy_refusal(
        model=model,
        version=asked["version"],
        asked=asked["move"],
        actor=why.who,
        reason=why.reason,
        evidence={"by_hand": True, "run": run, "digest": asked["digest"], "verdicts": list(asked.get("verdicts", ()))},
        at=datetime.now(IST),
    )


def promote_as_shown(
    registry: AliasStore,
    journal: PolicyJournal,
    shown: Mapping[str, Any],
    repo: Path,
    approval: Approval | None,
    run: str,
) -> Promotion | NotMoved:
    """Move a version up if what is known of it now is what was shown.

    Parameters
    ----------
    shown : `version`, `stage` and `digest` of the evidence as it was shown
    approval : of a reviewer; None lets a version only where no person is needed
    run : where the approval was asked, for the journal

    Returns
    -------
    The move, journaled with person, time, comment and evidence; or why it was not made.
    """
    evidence = all_evidence(registry.model, journal, shown["version"], shown["stage"], repo)
    if evidence.digest != shown["digest"]:
        return NotMoved(f"what is known of version {evidence.version} has changed since it was shown; ask again")
    if evidence.against:
        return NotMoved(evidence.in_one_line())
    done = promote(
        registry,
        journal,
        evidence.version,
        Stage(evidence.stage),
        approval.person if approval else AUTOMATON,
        _why(approval, evidence.digest, run),
        approved_by=approval.person if approval else None,
        track=evidence.track,
    )
    return done if isinstance(done, Promotion) else NotMoved(str(done))


def _make(
    registry: AliasStore,
    journal: PolicyJournal,
    asked: Mapping[str, Any],
    approval: Approval,
    repo: Path,
    run: str,
) -> Promotion | NotMoved:
    version, move = asked["version"], asked["move"]
    if move not in (Move.RETIRE, Move.ROLLBACK):
        return promote_as_shown(registry, journal, {**asked, "stage": move}, repo, approval, run)
    now = ask(registry.model, journal, version, move, repo)
    if now.refused:
        return NotMoved(now.refused)
    if now.digest != asked["digest"]:
        return NotMoved("what stands on the ladder has changed since it was shown; ask again")
    why = _why(approval, now.digest, run)
    if move == Move.ROLLBACK:
        done = rollback(registry, journal, approval.person, why)
    else:
        done = promote(registry, journal, version, Stage.RETIRED, approval.person, why, approved_by=approval.person)
    return done if isinstance(done, Promotion) else NotMoved(str(done))


def _made_before(model: str, journal: PolicyJournal, asked: Mapping[str, Any], run: str) -> Promotion | None:
    """The move that this very run has made already: its task may have died before it could say so."""
    for event in reversed(journal.policy_events(model)):
        if event["version"] == asked["version"] and event["reason"].endswith(_asked_in(asked["digest"], run)):
            before, displaced = event["from_stage"], event["evidence"].get("displaced")
            stages = Stage(before) if before else None, Stage(event["to_stage"])
            return Promotion(model, event["version"], *stages, displaced, event["actor"], event["actor"], moved=False)
    return None


def _why(approval: Approval | None, digest: str, run: str) -> str:
    why = f"{approval.comment} (approved at {approval.at})" if approval else "the gates that protect the stage passed"
    return f"{why}{_asked_in(digest, run)}"


def _asked_in(digest: str, run: str) -> str:
    return f"; evidence {digest[:12]}, {run}"


def _ask_rollback(model: str, journal: PolicyJournal) -> Request:
    standing = signatures(journal.policy_events(model))
    back, now = standing.get(Stage.PREVIOUS), standing.get(Stage.CHAMPION)
    against = way_back(model, standing)
    version = back.version if back is not None else "none"
    shown = f"Version {version} becomes champion again; version {now.version if now else 'none'} is retired."
    subject = f"Roll the champion back to policy version {version}?"
    return Request(version, Move.ROLLBACK, subject, shown, _digest(model, standing), str(against) if against else None)


def _ask_retirement(model: str, journal: PolicyJournal, version: str) -> Request:
    events = journal.policy_events(model)
    registration = registration_of(events, version)
    if registration is None:
        raise NotFound(f"version {version}: {UNREGISTERED}")
    standing = signatures(events)
    held = [stage for stage, each in standing.items() if each.version == version]
    shown = f"Version {version} leaves {', '.join(held) or 'no stage, it holds none'}, and is served no longer."
    why = "it is champion; promote another or roll back first" if Stage.CHAMPION in held else None
    if stages_reached(events, version)[-1:] == (Stage.RETIRED,):
        why = "it is retired already; nothing is to be moved"
    line = f"retire is refused to version {version}: {why}" if why else None
    subject = f"Retire policy version {version}?"
    return Request(version, Move.RETIRE, subject, shown, _digest(model, standing), line)


def _digest(model: str, standing: Mapping[str, Any]) -> str:
    told = [model, sorted((stage, each.version, each.content) for stage, each in standing.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
