"""How `mlflow.pyfunc.load_model` turns a registered policy into a model: a frame of rows in, what `judge` says out."""

from pathlib import Path

import pandas as pd


class JudgeModel:
    """A policy seen as an MLflow model."""

    def __init__(self, folder: Path):
        from pipelines.policy.bundle import Bundle

        self._bundle = Bundle.load(folder)

    def predict(self, table: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        """Judge feature rows (features, regime probabilities and close as columns); `params` is MLflow's, unused."""
        from pipelines.policy.decide import judge

        return judge(self._bundle, table)


def _load_pyfunc(path: str) -> JudgeModel:
    return JudgeModel(Path(path))
