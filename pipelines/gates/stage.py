"""The gates stage: judge the evaluation's figures and write the verdicts."""

from pipelines.gates.rules import judge_gates
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.stages import StageReport
from pipelines.tables import read_json, write_json


def run(params: Params, paths: Paths) -> StageReport:
    verdicts = judge_gates(read_json(paths.reports / "evaluation.json"), params.gates)
    write_json([verdict.as_dict() for verdict in verdicts], paths.verdicts)
    write_json({verdict.gate: verdict.passed for verdict in verdicts}, paths.reports / "gates.json")
    failed = [v for v in verdicts if not v.passed]
    notes = [
        f"{v.gate}: measured {'undefined' if v.measured is None else f'{v.measured:.4g}'}, limit {v.limit:.4g}; "
        f"keeps out of {', '.join(v.protects)}"
        for v in failed
    ]
    return StageReport(
        stage="gates",
        rows_in=len(verdicts),
        rows_out=len(verdicts) - len(failed),
        notes=tuple(notes or ["every gate passed"]),
    )
