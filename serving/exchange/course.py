"""Where the market stands: its clock, the present session, what is still ahead."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from pipelines.domain.instruments import Instrument
from pipelines.domain.trading_phases import Phase
from serving.exchange.hours import Hours
from serving.exchange.market import FrameKind, SessionDay

PRE_OPEN = timedelta(minutes=15)  #: the clock stands this long before the first session until the market is started


class State(StrEnum):
    WAITING = "waiting"
    PLAYING = "playing"
    FINISHED = "finished"


@dataclass
class Course:
    """The days that are played and how far they have been."""

    days: Sequence[SessionDay]
    hours: Hours
    state: State = State.WAITING
    frame: FrameKind = FrameKind.OPENING  #: the kind of the last one
    clock: datetime = field(init=False)
    place: int = 0  #: of the present day in `days`
    steps: int = 0  #: frames played

    def __post_init__(self) -> None:
        self.clock = self.days[0].open - PRE_OPEN

    @property
    def session(self) -> SessionDay:
        return self.days[self.place]

    @property
    def last_day(self) -> bool:
        return self.place == len(self.days) - 1

    @property
    def ends_for_today(self) -> bool:
        """Whether today's last prices are behind us: who orders now meets another session."""
        return self.frame in (FrameKind.CLOSING, FrameKind.POST_CLOSE)

    def phase(self, instrument: Instrument) -> Phase:
        if self.state is not State.PLAYING:
            return Phase.CLOSED
        return self.hours.phase(instrument, self.session, self.clock)

    def takes_after_market(self, instrument: Instrument) -> bool:
        """Whether an after market order can be taken now, and a session to send it to is ahead."""
        ahead = self.state is State.WAITING or (self.state is State.PLAYING and not self.last_day)
        early = self.clock < self.session.open
        return (ahead or early) and self.hours.takes_after_market(instrument, self.session, self.clock)

    def good_for(self) -> date:
        """The session an order belongs to: after a close the next one, on the last day its post-close session."""
        closed = self.state is State.PLAYING and (self.frame is FrameKind.CLOSING or self.clock > self.session.close)
        return self.days[self.place + 1].day if closed and not self.last_day else self.session.day

    def start_next_day(self) -> None:
        self.place += 1
