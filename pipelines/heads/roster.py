"""Which heads there are, from parameters and to plain data and back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipelines.domain.errors import BadInput
from pipelines.heads.breakout import BreakoutHead
from pipelines.heads.head import Head, RuleHead
from pipelines.heads.momentum import MomentumHead
from pipelines.heads.reversion import ReversionHead
from pipelines.heads.trend import TrendHead
from pipelines.heads.volume import VolumeHead
from pipelines.params import HeadsParams

#: The rule heads by name; a name is also that of the section in `params.yaml`
RULE_HEADS: dict[str, type[RuleHead]] = {
    head.name: head for head in (TrendHead, ReversionHead, MomentumHead, BreakoutHead, VolumeHead)
}


def heads_from(params: HeadsParams) -> tuple[Head, ...]:
    """All heads with the parameters of `params.yaml`, in a fixed order."""
    return tuple(
        head(threshold=rule.threshold, slope=rule.slope)
        for head, rule in ((head, getattr(params, name)) for name, head in RULE_HEADS.items())
    )


def head_to_dict(head: Head) -> dict[str, Any]:
    """A head's name and genes as plain data."""
    if not isinstance(head, RuleHead):
        raise BadInput(f"head {head.name} cannot be told as plain data; only rule heads {sorted(RULE_HEADS)} can")
    return {"head": head.name, **asdict(head)}


def head_from_dict(content: Mapping[str, Any]) -> Head:
    """The head that `head_to_dict` told of.

    Raises
    ------
    BadInput : if the name is unknown or a gene is missing, unknown or impossible.
    """
    genes = dict(content)
    name = genes.pop("head", None)
    if name not in RULE_HEADS:
        raise BadInput(f"unknown head {name!r}; this release knows {sorted(RULE_HEADS)}")
    try:
        head = RULE_HEADS[name](**{gene: float(value) for gene, value in genes.items()})
    except (TypeError, ValueError) as error:
        raise BadInput(f"head {name} cannot be made from {genes}: {error}") from None
    if not (head.threshold >= 0.0 and 0.0 < head.slope < float("inf")):
        raise BadInput(f"head {name} wants threshold >= 0 and slope > 0, found {genes}")
    return head
