"""What `tradesage register` does: it registers the last run's policy and tells what is known of that version."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.errors import ServiceUnavailable
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.promotion.register import register_run
from pipelines.promotion.registration import CONTENT, registration_of
from pipelines.promotion.registry import Registry, default_registry
from pipelines.promotion.signatures import signatures
from pipelines.promotion.stages import Stage
from serving.postgres_as_found import postgres_as_found


def register(paths: Paths, say: Callable[[str], None]) -> None:
    """Register the policy of the last `dvc repro` as a candidate, and say where that version stands.

    Raises
    ------
    NotFound, NotOfThisRun, ServiceUnavailable : see `register_run`.
    """
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url

    params, began = load_params(paths.root / "params.yaml"), datetime.now(IST)
    with postgres_as_found():
        version = register_run(paths, params)
        registry, journal = default_registry(params), journal_at(database_url("journal"))
        try:
            events = journal.policy_events(registry.model)
        finally:
            journal.close()
        say(registered_in_words(events, version, began))
        if (missing := missing_in_mlflow(registry, version)) is not None:
            say(missing)


def registered_in_words(events: Sequence[Mapping[str, Any]], version: str, began: datetime) -> str:
    """Whether the version is new or known, and for a known one where it stands or who retired it.

    Parameters
    ----------
    events : the journal's policy events of the model, oldest first
    began : when this registration began
    """
    policy = registration_of(events, version)
    if policy is None or policy.at >= began:
        return f"registered version {version}"
    known = f"registered version {version}, known since {_moment(policy.at)}"
    held = [
        name
        for name, each in signatures(events).items()
        if (each.version, each.content) == (version, policy.content) and name != Stage.CANDIDATE
    ]
    if held:
        return f"{known}: it stands at {', '.join(held)}"
    retired = _last_retirement(events, version, policy.content)
    return f"{known}: {retired}" if retired else f"{known}: it stands at no stage"


def missing_in_mlflow(registry: Registry, version: str) -> str | None:
    """That MLflow does not show a version which the journal has; None if it does."""
    try:
        if version in registry.versions():
            return None
    except ServiceUnavailable as error:
        return f"whether MLflow shows it is not known: {error}"
    return (
        f"MLflow does not show version {version}: it was deleted there, or MLflow's tables were lost; "
        "the journal has it, so it can be promoted and served all the same"
    )


def _last_retirement(events: Sequence[Mapping[str, Any]], version: str, content: str) -> str | None:
    """Who retired a version after its last time at a stage, when and why; None if nobody did."""
    moves = [
        event
        for event in events
        if (event["version"], event["evidence"].get(CONTENT)) == (version, content)
        and event["to_stage"] != Stage.CANDIDATE
    ]
    if not moves or moves[-1]["to_stage"] != Stage.RETIRED:
        return None
    last = moves[-1]
    return (
        f"it was retired {_moment(last['at'])} by {last['actor']} ({last['reason']}) and climbs only by a person's "
        f"word: tradesage shadow {version}"
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(IST):%Y-%m-%d %H:%M}"
