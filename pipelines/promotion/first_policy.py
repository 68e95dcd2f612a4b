"""The first policy of a ladder: the demo's may take paper where nothing has ever stood there, and nowhere else.

It was registered by no training run, so it is no candidate of the rule that replaces one policy by a better one. Where
nothing has ever stood at paper it replaces nothing and nothing trades, so the time of day does not matter either. What
a person retired never comes back by this.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.errors import NotFound
from pipelines.domain.verdicts import Verdict
from pipelines.promotion.evidence import judging_differences
from pipelines.promotion.ladder import AliasStore, PolicyJournal, Refusal, promote
from pipelines.promotion.paper_rule import holds, judged_as_here, made_from_commit
from pipelines.promotion.registration import CONTENT, UNREGISTERED, Registration, registration_of, stages_reached
from pipelines.promotion.signatures import signatures
from pipelines.promotion.stages import Stage
from pipelines.promotion.workspace import RunWorkspace

WHY = "first policy of the ladder: nothing has ever stood at paper"


def offer_first(registry: AliasStore, journal: PolicyJournal, version: str, repo: Path, actor: str) -> str | None:
    """Put a version at paper if it is the first that ever stands there.

    Parameters
    ----------
    repo : the checkout, whose `params.yaml` says how policies are judged now
    actor : who offers it, for the journal

    Returns
    -------
    None if the version stands at paper, now or already; else in one line why it does not. Nothing was changed then.

    Raises
    ------
    NotFound : the journal has no registration of that version.
    """
    with journal.exclusive(f"candidates of {registry.model}"):
        events = journal.policy_events(registry.model)
        policy = registration_of(events, version)
        if policy is None:
            raise NotFound(f"version {version}: {UNREGISTERED}")
        if _stands_at_paper(events, policy):
            return None
        differing = judging_differences(policy.commit, RunWorkspace(repo)) if policy.commit else ()
        failing = [verdict for verdict in judge_first(policy, events, differing) if not verdict.passed]
        if failing:
            return "; ".join(f"{verdict.gate}: no, {verdict.evidence}" for verdict in failing)
        moved = promote(registry, journal, version, Stage.PAPER, actor, WHY)
        return "; ".join(moved.reasons) if isinstance(moved, Refusal) else None


def judge_first(
    policy: Registration, events: Sequence[Mapping[str, Any]], differing: Sequence[str]
) -> tuple[Verdict, ...]:
    """Verdicts of the rule for the first policy.

    Parameters
    ----------
    events : the journal's policy events of the model, oldest first
    differing : judging numbers of its run that are not the checkout's, see `judged_otherwise`
    """
    stood = [event for event in events if event["to_stage"] == Stage.PAPER]
    last = f"version {stood[-1]['version']} took it {stood[-1]['at'].astimezone(IST):%Y-%m-%d %H:%M}" if stood else ""
    retired = any(
        event["to_stage"] == Stage.RETIRED and event["evidence"].get(CONTENT) == policy.content for event in events
    )
    return (
        made_from_commit(policy),
        judged_as_here(differing),
        holds("first at paper", not stood, last or "nothing has ever stood there"),
        holds("never retired", not retired, "a person retired it" if retired else "nobody retired it"),
    )


def _stands_at_paper(events: Sequence[Mapping[str, Any]], policy: Registration) -> bool:
    held = signatures(events).get(Stage.PAPER)
    return held is not None and (held.version, held.content) == (policy.version, policy.content)


def standing_of(events: Sequence[Mapping[str, Any]], version: str) -> str:
    """The highest stage that a version holds now, `retired`, or `candidate` if it holds none."""
    policy = registration_of(events, version)
    reached = stages_reached(events, version)
    for stage in (Stage.CHAMPION, Stage.PREVIOUS, Stage.CANARY, Stage.PAPER, Stage.SHADOW):
        held = signatures(events).get(stage.value)
        if policy and held and (held.version, held.content) == (version, policy.content):
            return stage.value
    return Stage.RETIRED.value if reached and reached[-1] is Stage.RETIRED else Stage.CANDIDATE.value
