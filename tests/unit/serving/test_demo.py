from pipelines.params import Params
from serving.demo import source_in_words
from tests.conftest import params_content


def test_the_demo_says_where_its_bars_come_from():
    said = [
        source_in_words(Params.model_validate(params_content(overrides)))
        for overrides in (
            {"ingest.source": "lake"},
            {"ingest.source": "files", "ingest.folder": "nse/daily"},
            {"ingest.simulated.edge": "none"},
        )
    ]

    assert said == ["lake, as of now", "files: nse/daily", "simulated market without an edge"]
