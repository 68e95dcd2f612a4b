from pipelines.features.catalogue import CATALOGUE, REGIME_COLUMNS
from pipelines.features.listing import LISTING, listing


def test_the_page_of_features_is_what_the_catalogue_says():
    told = LISTING.read_text(encoding="utf-8")

    assert told == listing(), "the catalogue has changed: run `make listing`"


def test_the_page_tells_every_feature_once():
    page = listing()

    names = [feature.name for feature in CATALOGUE] + list(REGIME_COLUMNS)
    assert all(page.count(f"| `{name}` |") == 1 for name in names)
