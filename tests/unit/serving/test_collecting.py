"""The sources of params.yaml, and closed trades as one of them."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, BadParams
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.signals import Decision, Side, View
from pipelines.ingest.collect import collect
from pipelines.ingest.lake import Lake
from pipelines.params import Params
from serving.collecting import wanted_of
from serving.outcome_source import OutcomeSource
from tests.conftest import params_content

ENTERED = datetime(2026, 6, 1, 10, 0, tzinfo=IST)


def params_of(*sources: dict, **overrides: object) -> Params:
    return Params.model_validate(params_content({"collect.sources": list(sources)} | overrides))


def test_all_sources_are_asked_or_those_named():
    params = params_of({"source": "files", "folder": "a"}, {"source": "bhavcopy", "start": "2026-01-01"},
                       {"source": "files", "folder": "b"})  # fmt: skip

    every = wanted_of(params, [], Path("/"))
    named = wanted_of(params, ["files"], Path("/"))

    assert [one.name for one in every] == ["files", "bhavcopy", "files"]
    assert [one.make().name for one in named] == ["files:a", "files:b"]
    assert every[1].make().name == "bhavcopy"


def test_every_kind_of_source_can_be_made(tmp_path):
    (tmp_path / "names.csv").write_text("Symbol,Entity\nTCS,Tata Consultancy\n", encoding="utf-8")
    params = params_of(
        {"source": "ticks", "folder": "ticks"},
        {"source": "news", "file": "news.csv", "columns": {"time": "a", "headline": "b"}, "entities": "names.csv"},
        {"source": "feed", "url": "https://news.example/rss?key=1", "entities": "names.csv"},
    )

    names = [one.make().name for one in wanted_of(params, [], tmp_path)]

    assert names == ["ticks:ticks", "news:news.csv", "news:https://news.example/rss"]


def test_files_with_columns_of_their_own_are_collected_by_the_names_that_ingest_reads_them_by(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    rows = "".join(f"{day}/01/2026,100,101,99,100.5,1000\n" for day in ("05", "06"))
    (folder / "TCS.csv").write_text(f"Tag,Auf,Hoch,Tief,Zu,Menge\n{rows}", encoding="utf-8")
    names = {"date": "Tag", "open": "Auf", "high": "Hoch", "low": "Tief", "close": "Zu", "volume": "Menge"}

    def collected(lake: Lake, zone: str) -> tuple[list[str], int]:
        told = {"names": names, "zone": zone, "date_format": "%d/%m/%Y", "stamp": "auto"}
        params = params_of({"source": "files", "folder": "archive"}, **{"ingest.columns": told})
        (found,) = collect(lake, wanted_of(params, [], tmp_path), None, date(2026, 6, 1), lambda *_: None)
        assert found.failed is None
        stored = lake.pin().rows("bars", "files:archive", "TCS@day")
        return stored["open_time"].dt.strftime("%d %H:%M").tolist(), found.rows

    lake = Lake(tmp_path / "lake")

    assert collected(lake, "") == (["05 09:15", "06 09:15"], 2)
    assert collected(lake, "") == (["05 09:15", "06 09:15"], 0)
    # midnight in Tokyo is the evening before in India: a file that is read otherwise is read again
    assert collected(lake, "Asia/Tokyo")[0][0].startswith("04")


def test_no_source_or_an_unknown_one_is_refused():
    with pytest.raises(BadParams, match=r"collect.sources is empty"):
        wanted_of(params_of(), [], Path("/"))
    with pytest.raises(BadParams, match=r"kite is not in collect.sources, which has files"):
        wanted_of(params_of({"source": "files", "folder": "a"}), ["kite"], Path("/"))


class Trades:
    """A journal of one account."""

    def __init__(self, *views: View) -> None:
        self.views = views

    def accounts(self):
        return ["paper"]

    def outcomes(self, account):
        figures = dict.fromkeys(("entry_price", "exit_price", "decision_price"), Decimal("100.05"))
        money = dict.fromkeys(("gross_inr", "net_inr", "mfe_inr", "mae_inr"), Decimal("12.34"))
        return [
            Outcome("TCS", Side.SELL, 10, "d1", "3", "hash", "bear", entered_at=ENTERED,
                    exited_at=ENTERED + timedelta(hours=1), exit_reason=ExitReason.STOP,
                    charges={"brokerage": Decimal("1.10"), "stt": Decimal("0.15")}, hold_bars=12, **figures, **money)
        ]  # fmt: skip

    def decision(self, decision_id) -> Decision:
        class Told:
            views = self.views

        return Told()  # type: ignore[return-value]


def test_closed_trades_come_into_the_lake_once_with_the_head_that_spoke_for_them(tmp_path):
    views = View("trend", 0.9, 0.9), View("volume", -0.5, 0.9), View("momentum", -0.9, 0.6)
    source, lake = OutcomeSource(Trades(*views), ["paper"]), Lake(tmp_path)

    for _ in range(2):
        for piece in source.fetch(None, date(2026, 6, 2)):
            lake.store(source.name, piece)

    (row,) = lake.pin().rows("outcomes", "outcomes").to_dict("records")
    assert (row["account"], row["symbol"], row["side"], row["pattern"]) == ("paper", "TCS", "SELL", "momentum")
    assert (row["charges_inr"], row["net_inr"], row["exit_reason"]) == (1.25, 12.34, "stop")
    assert row["exited_at"] == ENTERED + timedelta(hours=1)
    assert len(lake.pin().entries) == 1


def test_a_trade_that_no_head_spoke_for_has_no_pattern():
    (piece,) = OutcomeSource(Trades(View("trend", 0.9, 0.9)), ["paper"]).fetch(None, date(2026, 6, 2))

    assert piece.table["pattern"].tolist() == [""]


def test_an_account_that_is_not_there_is_named():
    with pytest.raises(BadInput, match="the journal has no account live; it has paper"):
        list(OutcomeSource(Trades(), ["live"]).fetch(None, date(2026, 6, 2)))
