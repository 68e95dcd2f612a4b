"""What torture counts as the broker's own silence: looks without a true answer, in two ways, without a pause."""

from tests.torture.silence import Looks


def looked(*looks: tuple[str, float, bool], ended_order: bool = False) -> Looks:
    found = Looks(0.0, 0.0, ended_order=ended_order)
    for kind, at, true in looks:
        found.note(kind, at, true=true)
    return found


def test_silence_ends_with_the_first_true_answer():
    looks = looked(("orders", 0.2, False), ("one order", 0.4, False), ("orders", 0.8, True), ("orders", 1.2, False))

    assert looks.silence_s == 0.8
    assert not looks.are_untrue


def test_one_kind_of_look_is_no_excuse():
    looks = looked(("orders", 0.2, False), ("orders", 0.4, False))

    assert looks.silence_s == 0.0
    assert not looks.are_untrue


def test_a_pause_of_the_daemons_own_ends_the_silence():
    looks = looked(("orders", 0.1, False), ("trades", 0.2, False), ("orders", 0.9, False), ("orders", 1.3, False))

    assert looks.silence_s == 0.2
    assert not looks.are_untrue


def test_a_trade_book_tells_nothing_of_an_order_that_ended_without_a_fill():
    looks = looked(("orders", 0.1, False), ("trades", 0.2, True), ("one order", 0.3, False), ended_order=True)

    assert looks.are_untrue
    assert looks.silence_s == 0.3
