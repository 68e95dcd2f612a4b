"""The paper exchange: Kite Connect v3 (REST and WebSocket) over recorded or simulated bars, matched by `domain.fills`.

The official client talks to it unmodified, `KiteConnect(root="http://127.0.0.1:7070")` and
`KiteTicker(root="ws://127.0.0.1:7070")`; `python -m serving.exchange` starts it.
"""
