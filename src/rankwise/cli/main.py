"""The ``rankwise`` command: verbs, exit codes, and errors as one sentence."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated, Any

import typer

from rankwise.cli import (
    analyze,
    chain,
    compress,
    cost,
    doctor,
    export,
    generate,
    ledger,
    merge,
    methods,
    report,
    study,
    train,
)
from rankwise.cli import eval as evaluation
from rankwise.cli.signals import Received, as_interrupts
from rankwise.cli.streams import check_arguments, escape_what_does_not_fit
from rankwise.errors import RankwiseError

CONTINUED = ("study", "train", "chain")  # the others have nothing of a run to go on from
INTERRUPTED = 130  # what typer makes of KeyboardInterrupt
SENTENCE = 1500  # characters that are printed of one
TRACEBACK = "RANKWISE_TRACEBACK"  # when set, a mistake of rankwise is shown with where it happened

# Newer typer carries its own click; its base class of wrong options and arguments is found through a public name.
_BadCommandLine: Any = typer.BadParameter.__base__

app = typer.Typer(
    help="Which low-rank adapter matches full fine-tuning on my model and my data, and at what cost?",
    epilog="Start with: rankwise study   (about a quarter of an hour on two CPU cores, no network needed). "
    f"{TRACEBACK}=1 shows where a fault happened.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("study")(study.study)
app.command("train")(train.train)
app.command("chain")(chain.chain)
app.command("merge")(merge.merge)
app.command("export")(export.export)
app.command("compress")(compress.compress)
app.command("generate")(generate.generate)
app.command("eval")(evaluation.eval_)
app.command("methods")(methods.methods)
app.command("cost")(cost.cost)
app.command("analyze")(analyze.analyze)
app.command("report")(report.report)
app.command("doctor")(doctor.doctor)
app.add_typer(ledger.app, name="ledger")


def _version(value: bool) -> None:
    if value:
        from rankwise import __version__

        typer.echo(f"rankwise {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Which low-rank adapter matches full fine-tuning on my model and my data, and at what cost?"""


def run() -> None:
    """Entry point. Exit codes: 0 done, 1 a fault, 2 bad input, 3 some runs had faults, 130 Ctrl-C, 143 SIGTERM."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Idle OpenMP threads go to sleep after a short spin: as fast on an idle machine, and a step takes 2.7 s instead of
    # 4.5 s while another program keeps one of two cores busy (docs/LOG.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    escape_what_does_not_fit()
    with as_interrupts() as received:
        return _run(arguments, received)


def _run(arguments: list[str], received: Received) -> int:
    try:
        check_arguments(arguments)
        code = typer.main.get_command(app)(arguments, standalone_mode=False)
        return _interrupted(received, arguments) if code == INTERRUPTED else code if isinstance(code, int) else 0
    except typer.Exit as stop:
        return _interrupted(received, arguments) if stop.exit_code == INTERRUPTED else stop.exit_code
    except _BadCommandLine as error:
        error.message = _shown(str(error.message))  # it may quote what was typed
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(received, arguments)
    except RankwiseError as error:
        _say(str(error))
        return error.exit_code
    except BrokenPipeError:  # `rankwise methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _say(_disk(error))
        return 1
    except MemoryError:
        _say("there is not enough memory for this; a smaller model, max_length or batch needs less")
        return 1
    except Exception as error:  # the last net: whatever gets here is a mistake of ours
        if os.environ.get(TRACEBACK):
            raise
        _say(_ours(error))
        return 1


def _ours(error: Exception) -> str:
    """Say that rankwise is at fault, where, and how to report it."""
    from rankwise import __version__

    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}rankwise{os.sep}" in frame.filename] or frames
    place = f" at {os.path.basename(own[-1].filename)} line {own[-1].lineno}" if own else ""
    words = " ".join(str(error).split())[:300] or "no more is known"
    return (
        f"a mistake of rankwise {__version__}, not of yours: {type(error).__name__}{place}: {words}; "
        f"please report it with what the same command prints under {TRACEBACK}=1"
    )


def _interrupted(received: Received, arguments: list[str]) -> int:
    verb = next((word for word in arguments if not word.startswith("-")), "")
    _say("interrupted; the same command continues where it stopped" if verb in CONTINUED else "interrupted")
    return received.exit_code


def _disk(error: OSError) -> str:
    where = error.filename or "the output folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left while writing {where}; free some and repeat the command, finished runs are kept"
    return f"{where}: {error.strerror or error}"


def _say(text: str) -> None:
    typer.echo(f"rankwise: {_shown(text)}", err=True)


def _shown(text: str) -> str:
    """Leave out line breaks, control characters, and the middle of a sentence that quotes something endless.

    What is wrong begins a sentence, and what to do ends it.
    """
    from rankwise.report.clean import clean_text

    text = clean_text(" ".join(text.splitlines()))
    if len(text) <= SENTENCE:
        return text
    return f"{text[: SENTENCE * 2 // 3]} ... {text[-SENTENCE // 3 :]}"
