from datetime import datetime

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.halts import Cause, HaltEvent, Mode, TradingState, Word, state_after

NOON = datetime(2026, 10, 30, 12, 0, tzinfo=IST)


def said(word: Word, cause: Cause = Cause.BY_HAND, reason: str = "news") -> HaltEvent:
    return HaltEvent(word, cause, reason, "asha@desk", NOON)


def test_without_a_word_there_is_trading():
    assert TradingState().mode is Mode.TRADING


@pytest.mark.parametrize("cause", list(Cause))
def test_any_cause_halts(cause):
    state = state_after([said(Word.HALT, cause)])

    assert state.mode is Mode.HALTED
    assert str(cause) in state.reason


def test_one_cause_may_be_lifted_while_another_stands():
    state = state_after(
        [said(Word.HALT), said(Word.HALT, Cause.STALE_FEED), said(Word.RESUME, Cause.STALE_FEED, "ticks again")]
    )

    assert (state.mode, set(state.standing)) == (Mode.HALTED, {Cause.BY_HAND})


def test_a_resume_by_hand_lifts_every_cause():
    state = state_after([said(Word.HALT, Cause.DRAWDOWN), said(Word.HALT, Cause.STALE_FEED), said(Word.RESUME)])

    assert state.mode is Mode.TRADING


def test_a_flatten_after_a_halt_flattens_and_a_halt_after_it_does_not_stop_it():
    state = state_after([said(Word.HALT), said(Word.FLATTEN), said(Word.HALT)])

    assert state.mode is Mode.FLATTENING


def test_the_first_reason_of_a_cause_stands():
    state = state_after([said(Word.HALT, reason="first"), said(Word.HALT, reason="second")])

    assert state.standing[Cause.BY_HAND].reason == "first"
