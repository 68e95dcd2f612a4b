"""A person looks at the quarantine, lets a row out, runs again and takes it back: by the real commands and stage."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from pipelines.domain.errors import BadInput, DataRejected
from pipelines.paths import Paths
from pipelines.tables import read_json, read_table, write_table
from serving.commands import app
from tests.conftest import SMALL, params_content, run_stages, workspace_at

WORLD = SMALL | {"ingest.simulated.days": 12, "ingest.simulated.instruments": 2}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A small market with one wild bar, validated; commands run in it."""
    paths, params = workspace_at(tmp_path / "work", WORLD)
    run_stages(paths, params, ("ingest",))
    symbol = sorted(path.stem for path in paths.raw_bars.glob("*.parquet"))[0]
    bars = read_table(paths.raw_bars / f"{symbol}.parquet")
    bars.loc[400, "high"] *= 2
    write_table(bars, paths.raw_bars / f"{symbol}.parquet")
    run_stages(paths, params, ("validate",))
    monkeypatch.chdir(paths.root)
    return paths, params, symbol, bars["open_time"][400]


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["quarantine", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def held(paths: Paths, symbol: str) -> set[pd.Timestamp]:
    return set(read_table(paths.validated_bars / f"{symbol}.parquet")["open_time"])


def test_a_row_is_let_out_and_taken_back(workspace):
    paths, params, symbol, moment = workspace
    time = moment.isoformat()[:16]
    assert moment not in held(paths, symbol)

    listed, shown = said("list"), said("show", symbol, time)
    released = said("release", symbol, time, "--rule", "price_outlier", "--reason", "results", "--by", "a tester")
    run_stages(paths, params, ("validate",))

    assert f"bars price_outlier {symbol}: 1 rows" in listed
    assert f"{symbol}" in shown
    assert "row 401" in shown
    assert '"high":' in shown
    assert "released from price_outlier: 1 rows" in released
    line = paths.released.read_text().splitlines()[1]
    assert line.startswith(f"{symbol},{moment.isoformat()},price_outlier,simulated:401,")
    assert "a tester" in line
    assert moment in held(paths, symbol)
    assert "released by hand: 1 rows" in said("list")

    taken = said("hold", symbol, time, "--rule", "price_outlier")
    run_stages(paths, params, ("validate",))

    assert "held again by price_outlier: 1 rows" in taken
    assert moment not in held(paths, symbol)


def test_the_same_stage_twice_writes_the_same_bytes(workspace):
    paths, params, *_ = workspace
    folders = (paths.validated, paths.data_docs)
    before = {path: path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}

    run_stages(paths, params, ("validate",))

    assert before == {path: path.read_bytes() for path in before}
    assert {path.suffix for path in before} == {".parquet", ".json", ".html"}


def test_what_was_found_is_told_to_programs_and_people(workspace):
    paths, _, symbol, _ = workspace

    findings = {one["rule"]: one for one in read_json(paths.findings)}

    wild = findings["price_outlier"]
    assert (wild["table"], wild["severity"], wild["rows"], wild["instruments"]) == ("bars", "quarantine", 1, 1)
    assert "off the closes before" in wild["examples"][0]
    assert read_json(paths.reports / "validate.json")["by_rule"] == {"price_outlier": 1}
    assert read_json(paths.completeness)[symbol]["quarantined"] == 1
    assert set(read_json(paths.profile)) == {"return", "range", "volume_change"}
    assert "price_outlier" in (paths.data_docs / "index.html").read_text()
    row = json.loads(read_table(paths.quarantine)["row"].iloc[0])
    assert row["symbol"] == symbol


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "NOBODY"), "no row in the quarantine is NOBODY"),
        (("release", "{symbol}", "{time}", "--rule", "duplicate", "--reason", "x"), "no row in the quarantine is"),
        (("release", "{symbol}", "{time}", "--rule", "price_outlier", "--reason", " "), "a release needs a reason"),
        (("hold", "{symbol}", "{time}", "--rule", "price_outlier"), "is released from price_outlier"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(workspace, arguments, words):
    paths, _, symbol, moment = workspace
    filled = [one.format(symbol=symbol, time=moment.isoformat()[:16]) for one in arguments]

    with pytest.raises(BadInput, match=words):
        CliRunner().invoke(app, ["quarantine", *filled], catch_exceptions=False)

    assert not paths.released.exists()


def test_a_run_that_stops_leaves_what_was_there(workspace):
    paths, _, *_ = workspace
    before = sorted(path.stat().st_mtime_ns for path in paths.root.rglob("*") if path.is_file())
    stopping = params_content(WORLD | {"validate.severity": {"price_outlier": "stop"}})
    from pipelines.params import params_from

    with pytest.raises(DataRejected, match="break price_outlier in 1 rows, on which a run stops"):
        run_stages(paths, params_from(stopping, "params.yaml"), ("validate",))

    assert sorted(path.stat().st_mtime_ns for path in paths.root.rglob("*") if path.is_file()) == before
