"""Where data lies. Stages know only a workspace's `root`; running processes also know the `state` folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.domain.symbols import checked_symbol


@dataclass(frozen=True)
class Paths:
    """Every table of the pipeline, in the data's order. `data/README.md` says who writes and who reads each."""

    root: Path

    @classmethod
    def here(cls) -> "Paths":
        return cls(Path.cwd())

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def lake(self) -> Path:  # what collectors stored, append-only; all worktrees of a checkout share the checkout's
        return main_checkout(self.root) / "data" / "lake"

    # 00_world: what the pipeline may not see: the bars after T, for the paper exchange, and the simulator's truth
    @property
    def world(self) -> Path:
        return self.data / "00_world"

    @property
    def session_bars(self) -> Path:  # folder, one file per instrument
        return self.world / "session_bars"

    @property
    def session_news(self) -> Path:
        return self.world / "session_news.parquet"

    @property
    def session_actions(self) -> Path:
        return self.world / "session_actions.parquet"

    @property
    def truth(self) -> Path:
        return self.world / "truth.parquet"

    # 01_raw: what was known as of T
    @property
    def raw(self) -> Path:
        return self.data / "01_raw"

    @property
    def raw_bars(self) -> Path:  # folder, one file per instrument
        return self.raw / "bars"

    @property
    def raw_instruments(self) -> Path:
        return self.raw / "instruments.parquet"

    @property
    def raw_news(self) -> Path:
        return self.raw / "news.parquet"

    @property
    def raw_rejected(self) -> Path:  # rows no bar could be made of; absent if there are none
        return self.raw / "rejected.parquet"

    @property
    def raw_ticks(self) -> Path:  # folder, one file per instrument; absent if there are none
        return self.raw / "ticks"

    @property
    def raw_actions(self) -> Path:
        return self.raw / "actions.parquet"

    @property
    def raw_membership(self) -> Path:
        return self.raw / "membership.parquet"

    @property
    def raw_outcomes(self) -> Path:  # closed trades known at T, for features of recent outcomes
        return self.raw / "outcomes.parquet"

    @property
    def disagreements(self) -> Path:  # where two sources of one series differ
        return self.raw / "disagreements.parquet"

    @property
    def snapshot(self) -> Path:  # what was pinned: source, interval, T, files and their hashes
        return self.raw / "snapshot.json"

    @property
    def validated(self) -> Path:
        return self.data / "02_validated"

    @property
    def validated_bars(self) -> Path:  # folder, one file per instrument
        return self.validated / "bars"

    @property
    def instruments(self) -> Path:
        return self.validated / "instruments.parquet"

    @property
    def news(self) -> Path:
        return self.validated / "news.parquet"

    @property
    def ticks(self) -> Path:  # folder, one file per instrument, in order of time; absent if there are none
        return self.validated / "ticks"

    @property
    def outcomes(self) -> Path:
        return self.validated / "outcomes.parquet"

    @property
    def findings(self) -> Path:  # which rules were broken, how often, by which rows first
        return self.validated / "findings.json"

    @property
    def profile(self) -> Path:  # how the bars are spread: what a later run may name as `validate.reference`
        return self.validated / "profile.json"

    @property
    def data_docs(self) -> Path:  # folder of pages; index.html is the first
        return self.reports / "data_docs"

    @property
    def quarantine(self) -> Path:
        return self.validated / "quarantine.parquet"

    @property
    def released(self) -> Path:  # rows a person let out of the quarantine; committed, absent if there are none
        return self.root / "expectations" / "released.csv"

    @property
    def completeness(self) -> Path:  # bars, quarantined rows and completeness of each instrument
        return self.validated / "completeness.json"

    @property
    def absent(self) -> Path:  # bars without a row, by instrument and session: nobody traded, or nobody recorded
        return self.validated / "absent.parquet"

    @property
    def features(self) -> Path:  # folder, one file per instrument, and market.parquet
        return self.data / "03_features"

    @property
    def market_features(self) -> Path:
        return self.features / "market.parquet"

    @property
    def catalogue(self) -> Path:
        return self.features / "catalogue.json"

    @property
    def regimes(self) -> Path:
        return self.data / "04_regimes" / "regimes.parquet"

    @property
    def regime_model(self) -> Path:
        return self.data / "04_regimes" / "model.json"

    @property
    def views(self) -> Path:  # folder, one file per instrument
        return self.data / "05_heads"

    @property
    def bundle(self) -> Path:  # folder: the policy as it is registered and served
        return self.data / "06_policy" / "bundle"

    @property
    def importance(self) -> Path:  # of every feature in the bundle's fit; absent without selection
        return self.data / "06_policy" / "importance.parquet"

    @property
    def evaluation(self) -> Path:
        return self.data / "07_evaluation"

    @property
    def verdicts(self) -> Path:
        return self.data / "08_gates" / "verdicts.json"


def table_of(folder: Path, symbol: str) -> Path:
    """The table of one instrument in a folder of them.

    Raises
    ------
    BadInput : if `symbol` is none, see `domain/symbols.py`: no name leads out of the folder.
    """
    return folder / f"{checked_symbol(symbol, folder.name)}.parquet"


def main_checkout(root: Path) -> Path:
    """The checkout that `root` is a git worktree of; `root` itself if it is none."""
    link = root / ".git"
    if link.is_file():  # "gitdir: <checkout>/.git/worktrees/<name>"
        folder = Path(root, link.read_text(encoding="utf-8").removeprefix("gitdir:").strip())
        if folder.parent.name == "worktrees":
            return folder.parents[2]
    return root


def state_folder() -> Path:
    """Where processes keep what is not a run's data: databases, artifacts, logs, credentials.

    `TRADESAGE_STATE` if set, else `.tradesage` in the checkout this package was imported from.
    """
    found = os.environ.get("TRADESAGE_STATE")
    return Path(found).resolve() if found else Path(__file__).resolve().parents[1] / ".tradesage"
