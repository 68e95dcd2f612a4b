"""A market's frames as the backtest's tape: what the exchange plays, without the exchange."""

from pipelines.evaluation.tape import TapeFrame, TapeTick
from serving.exchange.market import FrameKind, Market, Tick


def tape_of(market: Market) -> list[TapeFrame]:
    """Every frame of a fresh market up to its last close; in the pre-open auction nobody of ours trades."""
    frames = []
    while (frame := market.next_frame()).kind is not FrameKind.POST_CLOSE:
        ticks = () if frame.kind is FrameKind.OPENING else frame.ticks
        frames.append(TapeFrame(frame.at, {tick.instrument.symbol: _on_tape(tick) for tick in ticks}))
    return frames


def _on_tape(tick: Tick) -> TapeTick:
    return TapeTick(tick.price, tick.quantity, tick.bar_low, tick.bar_high, tick.bar_volume, tick.path_from)
