"""`tradesage`: the commands a person types. Each says what it does while it does it; a mistake gets one line."""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError
from typer.core import TyperCommand

from pipelines.domain.errors import TradeSageError
from pipelines.paths import state_folder

ROOT = Path(__file__).resolve().parents[1]  #: the checkout
app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"token_normalize_func": str.lower},  # a tired person's HALT halts, too
)


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="a folder of real CSV or Parquet bars instead of the simulation")
    ] = None,
) -> None:
    """The whole loop once: pipeline, registration, promotion to paper, one trading session, outcomes."""
    from serving.demo import run_demo

    raise typer.Exit(run_demo(ROOT, data))


@app.command()
def up() -> None:
    """Start every process and print where each one answers."""
    from pipelines.params import load_params
    from serving.all_processes import up as start

    start(load_params(ROOT / "params.yaml"))


@app.command()
def down() -> None:
    """Stop every process that `up` started, whoever watches over it now, and the embedded PostgreSQL."""
    from serving.all_processes import down as stop

    stop()


@app.command()
def status() -> None:
    """What runs and where."""
    from pipelines.params import load_params
    from serving.all_processes import status as show

    show(load_params(ROOT / "params.yaml"))


@app.command()
def register() -> None:
    """Register the policy of the last `dvc repro` in this folder as a candidate."""
    from pipelines.paths import Paths
    from serving import registering

    registering.register(Paths.here(), typer.echo)


@app.command()
def login(
    exchange: Annotated[str | None, typer.Option(help="a paper exchange on this machine; Kite if not given")] = None,
    port: Annotated[
        int | None, typer.Option(help="of 127.0.0.1, where the app's redirect address points to; else you paste it")
    ] = None,
) -> None:
    """Log in at the broker for the day: a browser page, then a token that the executor finds by itself."""
    import webbrowser

    from serving.morning_login import log_in

    def show(page: str) -> None:
        typer.echo(page)
        webbrowser.open(page)

    log_in(exchange, port, typer.echo, lambda what: typer.prompt(what, hide_input=True), show)


@app.command()
def collect(
    sources: Annotated[list[str] | None, typer.Argument(help="only these of params.yaml, e.g. kite bhavcopy")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="ask again from this day; else only what is new")
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="last day; today if not given")] = None,
) -> None:
    """Bring the lake up to date with the sources of params.yaml; exit code 1 if one of them failed."""
    from serving.collecting import collect_now

    found = collect_now(ROOT, sources or [], since and since.date(), until and until.date())
    raise typer.Exit(int(any(one.failed for one in found)))


Reason = Annotated[str, typer.Option(help="why, for the journal and the audit", prompt=False)]
Account = Annotated[str | None, typer.Option(help="whose; by default that of the last executor")]
By = Annotated[str | None, typer.Option(help="who says so; by default user@host")]


#: Unknown options and further words are left for the command to name
LENIENT = {"ignore_unknown_options": True, "allow_extra_args": True}
FLAT_WITHIN_S = 300.0


class StoppingCommand(TyperCommand):
    """A word that stops is never refused for how it is typed: what is not understood is named when it has stopped."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if (left := self._tried(ctx, args)) is not None:
            return left
        if (left := self._tried(ctx, [*args, ""])) is not None:  # an option that lacks its value at the end
            ctx.args = [*left, *args[-1:]]
        else:
            super().parse_args(ctx, [])
            ctx.args = list(args)
        return ctx.args

    def _tried(self, ctx: Any, args: list[str]) -> list[str] | None:
        """What is left over of the words; None if they cannot be read."""
        try:
            return super().parse_args(ctx, list(args))
        except (typer.Exit, typer.Abort):
            raise
        except Exception:  # whatever it is about
            ctx.params.clear()
            return None


StopReason = Annotated[str, typer.Option("--reason", help="why, for the journal and the audit")]


@app.command(cls=StoppingCommand, context_settings=LENIENT)
def halt(context: typer.Context, reason: StopReason = "", account: Account = None, by: By = None) -> None:
    """Enter nothing from now on; what is open goes on to be protected and closed."""
    from serving import halting

    raise typer.Exit(halting.halt(account, reason, by or "", context.args))


@app.command()
def resume(
    reason: Reason,
    account: Account = None,
    by: By = None,
    force: Annotated[bool, typer.Option("--force", help="though the cause of the halt still stands")] = False,
) -> None:
    """Let trading go on after a halt; refused while its cause still stands, and always on unequal books."""
    from serving import halting

    raise typer.Exit(halting.resume(account, reason, by or "", force=force))


@app.command(cls=StoppingCommand, context_settings=LENIENT)
def flatten(
    context: typer.Context,
    reason: StopReason = "",
    account: Account = None,
    by: By = None,
    wait: Annotated[str, typer.Option(help="seconds until it gives up waiting")] = f"{FLAT_WITHIN_S:g}",
) -> None:
    """Halt, leave every position, and prove at the broker that nothing is left: exit code 1 if something is."""
    from serving import halting

    seconds, ignored = _seconds(wait), list(context.args)
    if seconds is None:
        ignored += ["--wait", wait]
    patience_s = FLAT_WITHIN_S if seconds is None else seconds
    raise typer.Exit(halting.flatten(account, reason, by or "", patience_s, ignored))


def _seconds(text: str) -> float | None:
    """What a person typed as seconds, up to a day; None if it is no such number."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= 86_400 else None


@app.command()
def ladder() -> None:
    """What stands at each stage and since when, what waits for one, and what was refused last."""
    from serving import laddering

    raise typer.Exit(laddering.show_ladder(ROOT))


@app.command()
def rollback(reason: Reason, by: By = None) -> None:
    """Make the champion before the present one champion again, and retire the present one."""
    from serving import halting, laddering

    raise typer.Exit(laddering.roll_back(ROOT, reason, by or halting.default_actor()))


#: A word that begins with a dash is named as what it is not
NAMING = {"ignore_unknown_options": True}
Version = Annotated[str, typer.Argument(help="of the registry; see `tradesage ladder`")]


@app.command(context_settings=NAMING)
def shadow(
    version: Version,
    reason: Reason,
    by: By = None,
) -> None:
    """Put a version at shadow if its sanity gates pass: it trades nothing there."""
    from serving import halting, laddering

    raise typer.Exit(laddering.to_shadow(ROOT, version, reason, by or halting.default_actor()))


@app.command(context_settings=NAMING)
def retire(
    version: Version,
    reason: Reason,
    by: By = None,
    force: Annotated[bool, typer.Option("--force", help="though it is champion and nobody takes its place")] = False,
) -> None:
    """Take a version from every stage: it is served no longer, and climbs again from below if at all."""
    from serving import halting, laddering

    raise typer.Exit(laddering.retire(ROOT, version, reason, by or halting.default_actor(), force=force))


quarantine = typer.Typer(help="Rows that validation set aside: look at them, let them out, take them back.")
app.add_typer(quarantine, name="quarantine", no_args_is_help=True)
Symbol = Annotated[str, typer.Argument(help="the instrument")]
Moment = Annotated[str, typer.Argument(help="the row's time or its beginning, e.g. 2023-05-02 or 2023-05-02T09:15")]
Rule = Annotated[str, typer.Option(help="the rule it was set aside for")]


@quarantine.command("list")
def quarantine_list(symbol: Annotated[str | None, typer.Option()] = None,
                    rule: Annotated[str | None, typer.Option()] = None) -> None:  # fmt: skip
    """How many rows were set aside in the last run, by rule and instrument."""
    from pipelines.paths import Paths
    from serving import quarantining

    quarantining.listed(Paths.here(), typer.echo, symbol, rule)


@quarantine.command("show")
def quarantine_show(symbol: Symbol, time: Annotated[str | None, typer.Argument()] = None,
                    rule: Annotated[str | None, typer.Option()] = None) -> None:  # fmt: skip
    """Rows spelt out: the reason, where they came from, what they hold."""
    from pipelines.paths import Paths
    from serving import quarantining

    quarantining.shown(Paths.here(), typer.echo, symbol, time, rule)


@quarantine.command("release")
def quarantine_release(symbol: Symbol, time: Moment, rule: Rule, reason: Reason, by: By = None) -> None:
    """Let rows pass one rule from the next run on, as long as their content stays."""
    from pipelines.paths import Paths
    from serving import quarantining
    from serving.halting import default_actor

    quarantining.release(Paths.here(), typer.echo, symbol, time, rule, by or default_actor(), reason)


@quarantine.command("hold")
def quarantine_hold(symbol: Symbol, time: Moment, rule: Rule) -> None:
    """Take a release back."""
    from pipelines.paths import Paths
    from serving import quarantining

    quarantining.hold(Paths.here(), typer.echo, symbol, time, rule)


def main() -> None:
    """Entry point: errors a person is meant to read are one line on standard error; exit code 1, 2 for a wrong call."""
    os.umask(0o077)  # what we write is read by its owner only
    try:
        code = app(prog_name="tradesage", standalone_mode=False)
    except NoArgsIsHelpError as error:
        code = _complain(error.format_message(), 2)
    except ClickException as error:
        code = _complain(_usage_in_words(error), 2)
    except (typer.Abort, KeyboardInterrupt):
        code = _complain("tradesage: interrupted", 130)
    except TradeSageError as error:
        code = _complain(f"tradesage: {type(error).__name__}: {error}", 1)
    except OSError as error:
        if error.filename is None or not Path(str(error.filename)).is_relative_to(state_folder()):
            raise
        code = _complain(
            f"tradesage: the state folder {state_folder()} cannot be used ({error.strerror}: {error.filename}); "
            "set TRADESAGE_STATE to a folder of your own",
            1,
        )
    except Exception as error:
        if not _of_the_database(error):
            raise
        code = _complain(f"tradesage: PostgreSQL: {' '.join(str(getattr(error, 'orig', error)).split())[:300]}", 1)
    sys.exit(code)


def _usage_in_words(error: ClickException) -> str:
    """What was wrong with the call, and where its form stands, in one line."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "tradesage"
    return f"tradesage: {' '.join(error.format_message().split()).rstrip('.')}; see {where} --help"


def _of_the_database(error: Exception) -> bool:
    known = sys.modules.get("sqlalchemy.exc")  # nothing of it is imported for a wrong argument
    return known is not None and isinstance(error, known.SQLAlchemyError)


def _complain(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code
