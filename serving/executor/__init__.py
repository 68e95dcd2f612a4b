"""The daemon that turns decisions into orders and outcomes: feed → bars → features → decide → risk → intent → order.

`trade.py` is the heart and pure: what to do next about one trade. `session.py` does it: journal first, then the broker.
`python -m serving.executor` runs it against Kite, or against the paper exchange that speaks Kite's protocol.
"""
