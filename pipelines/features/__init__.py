"""What is known of an instrument at a bar's close, as scale-free numbers: one compiled step for training and live.

`catalogue` says which features there are; each family (`trend`, `momentum`, ...) has a compiled `write` that fills its
places of a row from the state of the bars seen so far; `step` joins them; `batch` loops over it, `online` calls it.

What needs the other stocks of a close comes in two looks: `survey` lets each stock tell figures of itself, `closes`
makes of them what is the same for all and how a stock stands among the others. `batch` and `online` join the parts.
"""
