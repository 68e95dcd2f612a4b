"""Features of real daily and intraday bars: what the market has done stays within what a policy may learn from."""

import numpy as np
import pytest

from pipelines.features.catalogue import FEATURE_NAMES
from pipelines.tables import read_table
from tests.conftest import SHARED_DATA, run_stages, workspace_at

pytestmark = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared sample data is not there")

#: Splits that nobody tells of, sessions without a range, a crash: twenty years of each
DAILY = ["AXISBANK", "INFY", "WIPRO"]


@pytest.mark.parametrize(
    ("folder", "symbols"), [("daily/nse_unadjusted", DAILY), ("intraday/1min", ["SBIN", "TCS"])], ids=["daily", "1min"]
)
def test_features_of_real_bars_are_judged_sound_and_seldom_unknown(tmp_path, folder, symbols):
    source = {"ingest.source": "files", "ingest.folder": str(SHARED_DATA / folder), "ingest.symbols": symbols}
    paths, params = workspace_at(tmp_path, source)

    run_stages(paths, params, ("ingest", "validate", "features"))

    for symbol in symbols:
        bars = read_table(paths.validated_bars / f"{symbol}.parquet")
        values = read_table(paths.features / f"{symbol}.parquet")[list(FEATURE_NAMES)].to_numpy()
        assert len(values) == len(bars)
        assert not np.isinf(values).any()
        known = np.isfinite(values[len(values) // 2 :]).any(axis=0).mean()
        assert known > 0.6, "the rest wants indices, news, closed trades or sectors that these files do not tell"
