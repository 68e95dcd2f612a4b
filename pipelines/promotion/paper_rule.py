"""The rule by which a candidate takes paper without a person.

It must be newer than all that has stood there, better than what stands there, judged as the checkout judges, made from
a commit, and registered by a training run; and it waits until the market's day is over. What fails the rule stays at
shadow, and a person may still promote it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pipelines.domain.bars import IST
from pipelines.domain.trading_phases import market_day
from pipelines.domain.verdicts import Verdict
from pipelines.promotion.registration import Registration, why_not_offered
from pipelines.promotion.stages import Stage

PROTECTS = (Stage.PAPER.value,)
#: Sections of `params.yaml` that say on which bars and how strictly a policy is judged
JUDGING = ("ingest", "validate", "evaluation", "gates")
#: A run of the whole lake notes here up to when it was read; a time that the checkout names must be the run's, too
PINNED = "ingest.as_of"


def judge_candidate(
    candidate: Registration,
    standing: Registration | None,
    before: Iterable[Registration],
    differing: Sequence[str],
    min_sharpe_gain: float,
    standing_differs: Sequence[str] = (),
) -> tuple[Verdict, ...]:
    """Verdicts of the rule, all but the time of day.

    Parameters
    ----------
    standing : what stands at paper; None if nothing does
    before : all that has ever stood there
    differing : judging numbers of its run that are not the checkout's, see `judged_otherwise`
    min_sharpe_gain : by which its Sharpe ratio must be above that of what stands there
    standing_differs : the same of what stands there; figures of another judgement are no limit
    """
    not_offered = why_not_offered(candidate)
    newest = max((each.at for each in before), default=None)
    rule = [
        holds("registered by a training run", not_offered is None, not_offered or str(candidate.run)),
        made_from_commit(candidate),
        judged_as_here(differing),
        holds(
            "newer than what has stood at paper",
            newest is None or candidate.at > newest,
            f"registered {_moment(candidate.at)}, the newest there {_moment(newest)}",
        ),
    ]
    if standing is None:
        return tuple(rule)
    if standing.commit is None or standing_differs:
        why = "; ".join(standing_differs) or "made from no commit"
        return (
            *rule,
            holds("figures of what stands at paper are no limit", True, f"version {standing.version}: {why}"),
        )
    return (*rule, *_better(candidate, standing, min_sharpe_gain))


def market_is_busy(now: datetime) -> str | None:
    """Why no policy is moved at this moment, None if one may be: from the pre-open to the last phase of a trading day.

    A weekday that the calendar does not know counts as a trading day.
    """
    now = now.astimezone(IST)
    span = market_day(now.date())
    if span is None or not span[0] <= now < span[1]:
        return None
    ends = span[1]
    return f"the market's day is on until {ends:%H:%M}; it is looked at again after that"


def judged_otherwise(now: Mapping, then: Mapping) -> tuple[str, ...]:
    """Judging numbers that differ between two contents of `params.yaml`, in words: the checkout's and a run's."""
    here, there = _flat({name: now.get(name, {}) for name in JUDGING}), _flat({n: then.get(n, {}) for n in JUDGING})
    return tuple(
        f"{key}: {here.get(key)} here, {there.get(key)} in the run"
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key) and not (key == PINNED and here.get(key) is None)
    )


def _better(candidate: Registration, standing: Registration, min_gain: float) -> tuple[Verdict, ...]:
    """Figures of both registrations, after charges, out of sample; a figure that one lacks is no proof."""
    there = f"version {standing.version} stands there"
    same = _market(candidate) == _market(standing)
    verdicts = [holds("judged on the same market", same, f"{_market(candidate)}; {there}, on {_market(standing)}")]
    for name, gate, gain in (
        ("sharpe", "Sharpe ratio above what stands at paper", min_gain),
        ("deflated_sharpe", "deflated Sharpe ratio of what stands at paper", None),
    ):
        ours, theirs = candidate.metrics.get(name), standing.metrics.get(name)
        limit = None if theirs is None else theirs + (gain or 0.0)
        above = ours is not None and (limit is None or (ours > limit if gain is not None else ours >= limit))
        verdicts.append(Verdict(gate, above, ours, limit, there, PROTECTS))
    return tuple(verdicts)


def _market(registration: Registration) -> str:
    edge = "" if registration.planted_edge is None else f", planted edge {registration.planted_edge}"
    return f"{registration.source}{edge}, {registration.interval} bars"


def made_from_commit(policy: Registration) -> Verdict:
    return holds("made from a commit", policy.commit is not None, policy.commit or "from uncommitted inputs")


def judged_as_here(differing: Sequence[str]) -> Verdict:
    """Whether no judging number of the run differs from the checkout's, see `judged_otherwise`."""
    return Verdict(
        "judging numbers that are not the checkout's",
        not differing,
        float(len(differing)),
        0.0,
        "; ".join(differing) or "bars, costs and limits are those of params.yaml as it is now",
        PROTECTS,
    )


def holds(gate: str, claim: bool, evidence: str) -> Verdict:
    return Verdict(gate, claim, 1.0 if claim else 0.0, 1.0, evidence, PROTECTS)


def _moment(at: datetime | None) -> str:
    return "nothing" if at is None else f"{at.astimezone(IST):%Y-%m-%d %H:%M:%S}"


def _flat(content: Mapping, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
