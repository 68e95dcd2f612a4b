import copy
from pathlib import Path

import pytest
import yaml

from pipelines.domain.errors import BadParams
from pipelines.params import load_params, params_from

PARAMS = Path(__file__).parents[2] / "params.yaml"


def content_with(key: str, value) -> dict:
    content = copy.deepcopy(yaml.safe_load(PARAMS.read_text(encoding="utf-8")))
    *sections, last = key.split(".")
    place = content
    for section in sections:
        place = place[section]
    place[last] = value
    return content


def test_the_shipped_parameters_are_valid():
    params = load_params(PARAMS)

    assert params.ingest.source == "simulated"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("ingest.colour", "red", "ingest.colour is not a known key"),
        ("nonsense", {}, "nonsense is not a known key"),
        ("ingest.interval", "7min", "ingest.interval = '7min'"),
        ("ingest.source", "yahoo", "ingest.source = 'yahoo'"),
        ("ingest.folder", None, "ingest.folder = None"),
        ("ingest.simulated.edge", "psychic", "ingest.simulated.edge = 'psychic'"),
        ("ingest.simulated.days", -3, "ingest.simulated.days = -3"),
        ("validate.max_quarantined", 1.5, "validate.max_quarantined = 1.5"),
        ("policy.risk_per_trade", 0, "policy.risk_per_trade = 0"),
        ("regimes.states", 5, "regimes.states = 5"),
        ("serving.mlflow_port", 80, "serving.mlflow_port = 80"),
        ("exchange.pace", "slow", "exchange.pace = 'slow'"),
        ("exchange.opening_cash_inr", "many", "exchange.opening_cash_inr = 'many'"),
    ],
)
def test_a_wrong_key_or_value_is_named_in_one_line(key, value, told):
    with pytest.raises(BadParams) as caught:
        params_from(content_with(key, value), "params.yaml")

    message = str(caught.value)
    assert message.startswith("params.yaml: ")
    assert told in message
    assert "\n" not in message


def test_a_missing_key_is_named():
    content = content_with("ingest.source", "simulated")
    del content["gates"]["max_drawdown"]

    with pytest.raises(BadParams, match=r"gates\.max_drawdown is missing"):
        params_from(content, "params.yaml")


@pytest.mark.parametrize("text", ["a: [1", "just words", "", "\x00"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)

    with pytest.raises(BadParams) as caught:
        load_params(path)

    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_parameters_do_not_change_after_reading():
    params = load_params(PARAMS)

    with pytest.raises(ValueError, match="frozen"):
        params.gates.max_drawdown = 0.9
