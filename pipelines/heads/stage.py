"""Features to views: one file an instrument, direction and confidence of every head."""

import pandas as pd

from pipelines.heads.roster import heads_from
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, read_table, write_table


def run(params: Params, paths: Paths) -> StageReport:
    """Read `03_features`, write `05_heads`."""
    heads = heads_from(params.heads)
    wanted = sorted({name for head in heads for name in head.uses})
    rows, spoken = 0, dict.fromkeys((head.name for head in heads), 0)
    with fresh_folder(paths.views) as folder:
        for path in sorted(paths.features.glob("*.parquet")):
            if path.name == paths.market_features.name:
                continue
            table = read_table(path, ["symbol", "close_time", *wanted])
            columns = {"symbol": table["symbol"], "close_time": table["close_time"]}
            for head in heads:
                views = head.views(table)
                columns |= {f"{head.name}_{name}": views[name] for name in ("direction", "confidence")}
                spoken[head.name] += int((views["confidence"] > 0.0).sum())
            write_table(pd.DataFrame(columns), folder / path.name)
            rows += len(table)
    notes = tuple(f"{name} has a view in {count / max(rows, 1):.0%} of the rows" for name, count in spoken.items())
    return StageReport("heads", rows, rows, notes)
