"""Rules between a decision and an order. Each returns a verdict with its figures; a decision's size can only be cut.

`rules.py` says yes or no, `sizes.py` cuts, `review.py` asks them all. The rules of entry stand here. Exits and
protective stops are never held back by a rule: leaving is always allowed.
"""

from pipelines.domain.risk.records import Exposure, Held, Orders, Proposal, Review, RiskLimits
from pipelines.domain.risk.review import review

__all__ = ["Exposure", "Held", "Orders", "Proposal", "Review", "RiskLimits", "review"]
