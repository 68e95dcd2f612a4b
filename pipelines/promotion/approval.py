"""A person's yes: what counts as one, and the move that rests on it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.promotion.evidence import gather_evidence
from pipelines.promotion.ladder import AliasStore, PolicyEvents, Promotion, Stage, promote

APPROVE = "Approve"
#: Who moves a policy when no person does
AUTOMATON = "airflow"


@dataclass(frozen=True)
class Approval:
    """A reviewer's yes."""

    person: str
    at: str  #: ISO time
    comment: str


@dataclass(frozen=True)
class NotMoved:
    """Why a promotion was not made, in one line."""

    reason: str


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
    if list(answer.get("chosen_options") or ()) != [APPROVE]:
        return NotMoved(f"the answer is not {APPROVE}")
    if person not in reviewers:
        return NotMoved(f"{person or 'no person'} gave the answer; a reviewer ({', '.join(reviewers)}) must")
    comment = str((answer.get("params_input") or {}).get("comment") or "").strip()
    if not comment:
        return NotMoved(f"{person} approved without a comment; say what the approval rests on")
    return Approval(person=person, at=str(answer.get("responded_at")), comment=comment)


def promote_as_shown(
    registry: AliasStore,
    journal: PolicyEvents,
    shown: Mapping[str, str],
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
    evidence = gather_evidence(journal.policy_events(registry.model), shown["version"], shown["stage"], repo)
    if evidence.digest != shown["digest"]:
        return NotMoved(f"what is known of version {evidence.version} has changed since it was shown; ask again")
    if evidence.against:
        return NotMoved(evidence.in_one_line())
    if approval is None:
        who, why = AUTOMATON, f"the gates that protect {evidence.stage} passed"
    else:
        who, why = approval.person, f"{approval.comment} (approved at {approval.at})"
    reason = f"{why}; evidence {evidence.digest[:12]}, {run}"
    stage = Stage(evidence.stage)
    person = approval.person if approval else None
    done = promote(registry, journal, evidence.version, stage, who, reason, approved_by=person)
    return done if isinstance(done, Promotion) else NotMoved(str(done))
