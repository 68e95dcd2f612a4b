"""The whole loop once, as a person would look at it: pipeline, registry, ladder, paper session, outcomes, report."""

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.domain.errors import BadInput, BooksDiffer, ServiceUnavailable, TradeSageError
from pipelines.domain.origin import origin_of
from pipelines.domain.verdicts import Verdict
from pipelines.params import Params, load_params
from pipelines.paths import Paths
from pipelines.stages import STAGES
from pipelines.tables import read_json, read_table, write_json

if TYPE_CHECKING:
    from pipelines.journal.journal import Journal

#: A session of the demo takes half a minute; one that takes this long has hung
SESSION_PATIENCE_S = 240.0
ACTOR = "demo"
PLAYED_FROM = "paper"  #: the stage at which the policy stands that is played
SHOWN_SENTENCES = 15  #: of what `ingest` told
KEPT_WORKSPACES = 5  #: of runs on real files, the newest
STEPS = (*STAGES, "register", "promote", "start", "session", "report")


@dataclass(frozen=True)
class Told:
    """What the steps hand to the summary."""

    version: str
    policy_version: str
    stage: str  #: that it holds on the ladder of its model
    refused: tuple[str, ...]  #: what keeps the policy from canary and champion
    real: bool  #: whether a market made its bars
    model: str = ""  #: in the registry
    aside: str | None = None  #: why it was played from the demo's own ladder; None if it was played from its own


def run_demo(root: Path, data: Path | None) -> int:
    """Run the demo and return the exit code: 0, or 1 when the books of journal and exchange differ.

    Parameters
    ----------
    root : the checkout; the report goes to its `reports/` folder
    data : a folder of real bars, or None for the simulated market of `params.yaml`
    """
    from pipelines.journal.postgres import require_named_server

    started = time.monotonic()
    console = Console()
    params = load_params(root / "params.yaml")
    require_named_server()
    workspace = root if data is None else _workspace_for(root, data, console)
    paths = Paths(workspace)
    params = load_params(workspace / "params.yaml")
    with _progress(console) as advance:
        with _removed_if_refused(root, workspace):
            run_pipeline(workspace, advance)
        with session_processes(paths, params, advance, own_model=data is not None) as told:
            pass
        advance("report")
        summary = summary_of(paths, params, told, time.monotonic() - started)
        _write_reports(root, paths, summary, told)
    _print(console, summary, told, root)
    return _judge(console, summary)


def _workspace_for(root: Path, data: Path, console: Console) -> Path:
    """A run workspace of its own, so that real files and the simulated market do not overwrite each other."""
    from pipelines.promotion.workspace import RunWorkspace

    folder = data.expanduser().resolve()
    if not folder.is_dir():
        raise BadInput(f"{data} is not a folder; give one with CSV or Parquet bars: make demo DATA=<folder>")
    name = ("demo-" + re.sub(r"[^a-z0-9]+", "-", "-".join(folder.parts[-2:]).lower()))[:60].strip("-")
    workspaces = RunWorkspace(root)
    workspaces.remove(name)
    workspaces.keep_latest(KEPT_WORKSPACES - 1, "demo-")
    # a model of its own: on the same ladder this policy would take the place of the one that `make up` serves
    overrides = {"ingest.source": "files", "ingest.folder": str(folder), "promotion.model": name}
    workspace = workspaces.create(name, overrides)
    console.print(f"real files from [bold]{folder}[/] in a workspace of their own")
    for note in workspaces.notes():
        console.print(f"[yellow]{note}[/]")
    return workspace


@contextmanager
def _removed_if_refused(root: Path, workspace: Path) -> Iterator[None]:
    """Leave no half-made workspace behind when the pipeline refuses its input; the checkout itself stays."""
    from pipelines.promotion.workspace import RunWorkspace

    try:
        yield
    except TradeSageError:
        if workspace != root:
            RunWorkspace(root).remove(workspace.name)
        raise


def run_pipeline(workspace: Path, advance: Callable[[str], None]) -> None:
    """`dvc repro` in the workspace, telling each stage as it begins.

    Raises
    ------
    TradeSageError : with the stage's own line when a stage refuses its input.
    """
    command = [sys.executable, "-m", "dvc", "repro"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=workspace, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    last: deque[str] = deque(maxlen=40)
    assert process.stdout is not None
    for line in process.stdout:
        last.append(line.rstrip())
        begun = re.match(r"(?:Running stage|Stage) '(\w+)'", line)
        if begun:
            advance(begun.group(1))
    if process.wait() != 0:
        raise TradeSageError(_reason(last))


def _reason(lines: deque[str]) -> str:
    told = [line for line in lines if re.match(r"\w+: \w+: ", line) and not line.startswith("ERROR")]
    return told[-1] if told else "dvc repro failed:\n" + "\n".join(lines)


@contextmanager
def session_processes(
    paths: Paths,
    params: Params,
    advance: Callable[[str], None],
    keep_postgres: bool | None = None,
    own_model: bool = False,
) -> Iterator[Told]:
    """Register the run's policy, then play the held-back days through real processes.

    The policy takes paper on the ladder of its model only as the first that ever stands there. Where it may not, the
    session is played from a ladder that only the demo has, so that nothing that trades is touched.

    Parameters
    ----------
    keep_postgres : keep the embedded PostgreSQL; by default it runs afterwards only if it ran before or `up` uses it
    own_model : whether the model of `params` is only the demo's, so that its ladder is, too
    """
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url
    from pipelines.promotion.approval import all_evidence
    from pipelines.promotion.first_policy import offer_first, standing_of
    from pipelines.promotion.ladder import Stage
    from pipelines.promotion.register import register_run
    from pipelines.promotion.registry import default_registry
    from serving.postgres_as_found import postgres_as_found

    with nullcontext() if keep_postgres else postgres_as_found():
        advance("register")
        version = register_run(paths, params)
        advance("promote")
        registry, played = default_registry(params), params
        journal = journal_at(database_url("journal"))
        aside = None if own_model else offer_first(registry, journal, version, paths.root, ACTOR)
        if aside is not None:
            played = _with_model(params, f"{params.promotion.model}-demo")
        if own_model or aside is not None:
            _promote_on_own_ladder(paths, played, journal)
        evidence = all_evidence(registry.model, journal, version, Stage.CANARY, paths.root)
        policy, stage = evidence.registration, standing_of(journal.policy_events(registry.model), version)
        play_session(paths, played, advance)
        refused = tuple(_obstacle(verdict) for verdict in evidence.against)
        yield Told(version, policy.policy_version, stage, refused, policy.is_real, registry.model, aside)


def _promote_on_own_ladder(paths: Paths, params: Params, journal: "Journal") -> None:
    """Register the policy under a model that only the demo has, and put it at paper there."""
    from pipelines.promotion.ladder import Refusal, Stage, promote
    from pipelines.promotion.register import register_run
    from pipelines.promotion.registry import default_registry

    version = register_run(paths, params)
    reason = "demonstration run on a ladder of its own"
    moved = promote(default_registry(params), journal, version, Stage.PAPER, ACTOR, reason)
    if isinstance(moved, Refusal):
        raise TradeSageError(f"the policy may not trade even on paper: {moved}")


def _with_model(params: Params, model: str) -> Params:
    return params.model_copy(update={"promotion": params.promotion.model_copy(update={"model": model})})


def play_session(paths: Paths, params: Params, advance: Callable[[str], None]) -> None:
    """Policy service, paper exchange and executor as processes of their own, until the held-back days are played."""
    from serving.processes import exchange_process, executor_process, free_port, policy_process

    advance("start")
    policy = policy_process(params, port=free_port(), alias=PLAYED_FROM)
    exchange = exchange_process(params, paths.root, port=free_port())
    executor = executor_process(
        params, paths.root, port=free_port(), exchange=exchange.url, policy=policy.url, until_finished=True,
        options=("--demonstration",),
    )  # fmt: skip
    with policy, exchange:
        policy.wait_until_healthy()
        exchange.wait_until_healthy()
        advance("session")
        with executor:
            ended = executor.wait(SESSION_PATIENCE_S)
    if ended != 0:
        raise ServiceUnavailable(f"the executor ended with code {ended}; its log is {executor.log}:\n{executor.tail()}")


def summary_of(paths: Paths, params: Params, told: Told, seconds: float) -> dict:
    """What `reports/demo.json` holds; `measured` figures are None where nothing was traded."""
    snapshot, validated = read_json(paths.snapshot), read_json(paths.reports / "validate.json")
    evaluation, session = read_json(paths.reports / "evaluation.json"), read_json(paths.reports / "session.json")
    verdicts = read_json(paths.verdicts)
    counted = ("decisions", "intents", "orders", "fills", "outcomes", "open_positions", "cash_exchange", "cash_journal")
    measured = ("sharpe", "sharpe_ci", "max_drawdown", "win_rate", "profit_factor", "trades", "charges_inr")
    return {
        "source": origin_of(snapshot).bars,
        "interval": snapshot["interval"],
        "as_of": snapshot["as_of"],
        "instruments": len(read_table(paths.instruments)),
        "bars": validated["rows_out"],
        "quarantined": validated["quarantined"],
        "told_by_ingest": snapshot["left_out"],
        "features": len(read_json(paths.catalogue)["features"]),
        "policy_version": told.policy_version,
        "registry_version": told.version,
        "registry_model": told.model,
        "stage": told.stage,
        "played_aside": told.aside,
        "kept_from_canary_by": list(told.refused),
        "gates": [{"name": v["gate"], **{key: v[key] for key in ("passed", "measured", "limit")}} for v in verdicts],
        "evaluation": {key: evaluation[key] for key in measured},
        "session": {key: session[key] for key in counted},
        "seconds": round(seconds, 1),
    }


def _write_reports(root: Path, paths: Paths, summary: dict, told: Told) -> None:
    """`reports/demo.json` and `demo.html`, always in the checkout, wherever the run's workspace lies."""
    from pipelines.evaluation.report import evaluation_report

    session = read_json(paths.reports / "session.json")
    accuracy = regime_figures(paths)
    standing = standing_in_words(told)
    evaluation_report(
        paths, root / "reports" / "demo.html", session=session, regime_accuracy=accuracy, standing=standing
    )
    write_json(summary, root / "reports" / "demo.json")


def regime_figures(paths: Paths) -> dict | None:
    """`reports/regimes.json`: the regimes against the simulated market's truth; no file where there is no truth."""
    from pipelines.regimes.accuracy import regime_accuracy

    out = paths.reports / "regimes.json"
    if not paths.truth.exists():
        out.unlink(missing_ok=True)
        return None
    accuracy = regime_accuracy(read_table(paths.regimes), read_table(paths.truth, columns=["close_time", "regime"]))
    write_json(accuracy, out)
    return accuracy


def _judge(console: Console, summary: dict) -> int:
    session = summary["session"]
    same_cash = Decimal(session["cash_exchange"]) == Decimal(session["cash_journal"])
    if same_cash and session["open_positions"] == 0:
        console.print("[green]the books agree to the paisa and nothing is left open[/]")
        return 0
    difference = BooksDiffer(
        f"cash is {session['cash_exchange']} at the exchange and {session['cash_journal']} in the journal, "
        f"{session['open_positions']} positions are open; both should agree and none be left: see reports/session.json"
    )
    console.print(f"[red]BooksDiffer: {difference}[/]")
    return 1


def _print(console: Console, summary: dict, told: Told, root: Path) -> None:
    session, evaluation = summary["session"], summary["evaluation"]
    console.print()
    console.print(_facts(summary))
    for sentence in told_by_ingest(summary):
        console.print(sentence, style="yellow", highlight=False, markup=False)
    console.print(_gates(summary["gates"]))
    if told.aside is not None:
        console.print(aside_in_words(told), style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(standing_in_words(told), style="yellow" if told.refused else None, highlight=False)
    if session["decisions"] and not session["fills"]:
        console.print("The policy found nothing worth its charges on the day that was played.")
    if evaluation["trades"] == 0:
        console.print("The policy made no trade in the walk-forward test.")
    console.print(f"report: {root / 'reports' / 'demo.html'}   figures: {root / 'reports' / 'demo.json'}")


def told_by_ingest(summary: dict) -> list[str]:
    """What of the source was not used, or read otherwise than it stands there; the first sentences of many."""
    told = summary["told_by_ingest"]
    rest = len(told) - SHOWN_SENTENCES
    more = [f"and {rest:,} more: reports/data_docs/index.html of the run, and the report"] if rest > 0 else []
    return [f"data: {sentence}" for sentence in told[:SHOWN_SENTENCES]] + more


def _obstacle(verdict: Verdict) -> str:
    """A failed gate by its name, and with its evidence where no figure says why."""
    return verdict.gate if verdict.measured is not None else f"{verdict.gate} ({verdict.evidence})"


def aside_in_words(told: Told) -> str:
    """Why the session was played from the demo's own ladder, and what puts the policy at paper."""
    return (
        f"Version {told.version} of {told.model} was not put at paper ({told.aside}); the session was played from "
        f"the ladder {told.model}-demo, nothing that trades was touched. A person may promote it in Airflow: make up."
    )


def standing_in_words(told: Told) -> str:
    """What keeps the policy from canary and from money, by the same judgement as the promotion's."""
    if told.refused:
        return (
            f"Not for real money: policy {told.policy_version} may not enter canary or champion, since it fails: "
            f"{'; '.join(told.refused)}. It may trade on paper only. That is what gates are for."
        )
    market = "" if told.real else " Made on a simulated market, it may never trade with money."
    return (
        f"Nothing known keeps policy {told.policy_version} from canary but its time on paper and a person's approval "
        f"in Airflow: make up.{market}"
    )


def _facts(summary: dict) -> Table:
    session, evaluation = summary["session"], summary["evaluation"]
    low, high = evaluation["sharpe_ci"]
    table = Table(title=f"TradeSage: {summary['source']}", show_header=False, title_justify="left")
    rows = [
        (
            "data",
            f"{summary['bars']:,} {summary['interval']} bars of {summary['instruments']} instruments until "
            f"{summary['as_of'][:16].replace('T', ' ')}, {summary['quarantined']:,} rows quarantined",
        ),
        (
            "policy",
            f"{summary['policy_version']} on {summary['features']} features, registered as version "
            f"{summary['registry_version']} of {summary['registry_model']}, on the ladder: {summary['stage']}",
        ),
        (
            "walk-forward",
            f"Sharpe {_number(evaluation['sharpe'])} (95 %: {_number(low)} to {_number(high)}), drawdown "
            f"{_share(evaluation['max_drawdown'])}, {evaluation['trades']:,} trades, "
            f"{_share(evaluation['win_rate'])} won, profit factor {_number(evaluation['profit_factor'])}, "
            f"charges {_rupees(evaluation['charges_inr'])}",
        ),
        (
            "paper session",
            f"{session['decisions']:,} decisions, {session['intents']} intents, {session['orders']} orders, "
            f"{session['fills']} fills, {session['outcomes']} outcomes, {session['open_positions']} open",
        ),
        ("cash", f"exchange {_rupees(session['cash_exchange'])}, journal {_rupees(session['cash_journal'])}"),
        ("time", f"{summary['seconds']:.0f} s"),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def _gates(gates: list[dict]) -> Table:
    table = Table(title="gates", title_justify="left")
    for heading in ("gate", "measured", "limit", ""):
        table.add_column(heading, justify="right" if heading in ("measured", "limit") else "left")
    for gate in gates:
        verdict = "[green]passed[/]" if gate["passed"] else "[red]refused[/]"
        table.add_row(gate["name"], _number(gate["measured"]), _number(gate["limit"]), verdict)
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _rupees(value: float | str | None) -> str:
    return "–" if value is None else f"₹{Decimal(str(value)):,.2f}"


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Show the steps as they go by: what is done, what runs, for how long."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(STEPS[0], total=len(STEPS))
        since = time.monotonic()
        current = STEPS[0]

        def advance(step: str) -> None:
            nonlocal since, current
            if step == current:
                return
            progress.console.print(f"  {current:<12}{time.monotonic() - since:6.1f} s", highlight=False)
            since, current = time.monotonic(), step
            progress.update(task, description=step, completed=STEPS.index(step))

        yield advance
        progress.console.print(f"  {current:<12}{time.monotonic() - since:6.1f} s", highlight=False)
