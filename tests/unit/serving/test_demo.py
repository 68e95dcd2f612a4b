"""What the demo says of a policy's way, from the same judgement as the promotion."""

import pytest

from serving.demo import SHOWN_SENTENCES, Told, aside_in_words, standing_in_words, told_by_ingest


@pytest.mark.parametrize(
    ("refused", "real", "said"),
    [
        (
            ("made from a commit",),
            False,
            "may not enter canary or champion, since it fails: made from a commit. It may trade on paper",
        ),
        ((), True, "Nothing known keeps policy abc from canary but its time on paper and a person's approval"),
        ((), False, "Made on a simulated market, it may never trade with money."),
    ],
)
def test_it_says_what_keeps_the_policy_from_the_next_stage(refused, real, said):
    assert said in standing_in_words(Told("3", "abc", "paper", refused, real))


def test_a_session_on_the_demos_own_ladder_says_why_and_who_may_promote():
    told = Told("3", "abc", "retired", (), False, "tradesage-policy", "never retired: no, a person retired it")

    line = aside_in_words(told)

    assert "was not put at paper (never retired: no, a person retired it)" in line
    assert "played from the ladder tradesage-policy-demo" in line
    assert "A person may promote it in Airflow" in line


def test_the_console_shows_what_ingest_told():
    told = [f"{place}.csv is left out" for place in range(SHOWN_SENTENCES + 3)]

    lines = told_by_ingest({"told_by_ingest": told})

    assert lines[0] == "data: 0.csv is left out"
    assert len(lines) == SHOWN_SENTENCES + 1
    assert lines[-1].startswith("and 3 more")
    assert told_by_ingest({"told_by_ingest": []}) == []
