"""A download that drips is cut as a whole, not from byte to byte."""

import time

import pytest

from pipelines.domain.errors import ServiceUnavailable
from pipelines.ingest.sources import downloads
from pipelines.ingest.sources.downloads import Downloads
from tests.dripping import DRIPS, dripping


@pytest.mark.parametrize("kind", DRIPS)
def test_a_dripping_download_is_cut_at_the_deadline(monkeypatch, kind):
    monkeypatch.setattr(downloads, "LONGEST_DOWNLOAD_S", 0.4)
    began = time.monotonic()

    with dripping(kind) as address, pytest.raises(ServiceUnavailable):
        Downloads(attempts=1).get(address, 1_000_000)

    assert time.monotonic() - began < 1.5
