"""Heads: specialists that turn features into views, one file each. `heads_from` makes them from `params.yaml`."""

from pipelines.heads.head import Head, RuleHead
from pipelines.heads.roster import RULE_HEADS, head_from_dict, head_to_dict, heads_from

__all__ = ["RULE_HEADS", "Head", "RuleHead", "head_from_dict", "head_to_dict", "heads_from"]
