"""What a finished run tells the registry."""

from pathlib import Path

from pipelines.promotion.provenance import commit_of
from pipelines.promotion.register import flat, metrics_from
from pipelines.promotion.registry import content_hash


def test_nested_parameters_become_dotted_names():
    content = {"policy": {"label": {"stop_atr": 3.0}, "folds": 5}, "symbols": ["A", "B"]}

    named = flat(content)

    assert named == {"policy.label.stop_atr": 3.0, "policy.folds": 5, "symbols": ["A", "B"]}


def test_metrics_are_the_finite_figures_and_an_interval_has_two():
    evaluation = {
        "sharpe": 1.2,
        "sharpe_ci": [0.1, 2.3],
        "trades": 12,
        "net_inr": "1234.50",
        "profit_factor": None,
        "first_day": "2026-05-04",
        "done": True,
    }

    metrics = metrics_from(evaluation)

    assert metrics == {"sharpe": 1.2, "sharpe_ci_low": 0.1, "sharpe_ci_high": 2.3, "trades": 12.0, "net_inr": 1234.5}


def test_the_content_hash_knows_names_and_bytes_but_not_the_place(tmp_path):
    def folder(name: str, **files: str) -> Path:
        path = tmp_path / name
        path.mkdir()
        for file, text in files.items():
            (path / file).write_text(text, encoding="utf-8")
        return path

    one, same = folder("one", a="1", b="2"), folder("same", b="2", a="1")
    renamed, moved = folder("renamed", a="1", c="2"), folder("moved", a="12", b="")

    assert content_hash(one) == content_hash(same)
    assert len({content_hash(one), content_hash(renamed), content_hash(moved)}) == 3


def test_outside_git_there_is_no_commit(tmp_path):
    assert commit_of(tmp_path) is None
