"""``rankwise train``: one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rankwise.cli.options import Batch, Columns, Data, DryRun, Json, MaxLength, Model, Out, ReportTo, Scale, Seed, Steps


def train(
    method: Annotated[str | None, typer.Option(help="A name from `rankwise methods`, or full; default lora.")] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="A finished study: train its recommended recipe, ten times longer.")
    ] = None,
    arm_: Annotated[str | None, typer.Option("--arm", help="With --from: another arm of that study.")] = None,
    rank: Annotated[int | None, typer.Option(help="Inner dimension of the update.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Numerator of the scaling.")] = None,
    placement: Annotated[
        str | None, typer.Option(help="all-linear, attention, mlp, regex:PATTERN, or names such as q_proj,v_proj.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate; default 1e-4 for full, 1e-3 for LoRA.")] = None,
    model: Model = None,
    data: Data = None,
    columns: Columns = None,
    max_length: MaxLength = None,
    scale: Scale = None,
    steps: Steps = None,
    batch: Batch = None,
    seed: Seed = None,
    out: Out = None,
    report_to: ReportTo = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any setting of the study by name, such as --set steps=40, and any option of the method, such as "
            "--method relora --set method.merges=3; method.events=NAME adds an event to any method.",
        ),
    ] = None,
    json_: Json = False,
    dry_run: DryRun = False,
) -> int:
    """Train one adapter (or all weights) and score it on held-out data.

    Writes the adapter in PEFT format into --out; the same command continues a run that was cut short.
    """

    from dataclasses import replace

    from rich.markup import escape

    from rankwise.cli import console
    from rankwise.cli.options import changes, listed, method_options, say_json, say_loading, say_text, typed
    from rankwise.errors import UsageError

    if from_ is not None:
        own = {"--method": method, "--rank": rank, "--alpha": alpha, "--placement": placement, "--scale": scale}
        for option, value in own.items():
            if value is not None:
                raise UsageError(
                    f"{option} cannot be given with --from, whose study decides it; use --arm or leave it."
                )
    elif arm_ is not None:
        raise UsageError("--arm names an arm of a study; it needs --from DIR.")
    say_loading()
    from rankwise.cli.after_training import evaluation, slower
    from rankwise.engine.events.summary import line, summarize
    from rankwise.methods import build
    from rankwise.studies.config import MadeBy
    from rankwise.studies.presets.scales import default_rate
    from rankwise.studies.recipes.from_study import full_length, read_recipe
    from rankwise.studies.results.event_history import update_words
    from rankwise.studies.running.single import run_single
    from rankwise.studies.running.single_config import single_config

    where = {"model": model, "data": data, "columns": columns, "max_length": max_length}
    values = changes(setting, **where, steps=steps, batch=batch, seed=seed)
    common = {"rank": rank, "alpha": alpha, "placement": placement}
    for name in (*common, "lr"):
        if name in values:
            raise UsageError(f"{name} is no setting of the study; give --{name} instead of --set {name}=...")
    given: dict[str, Any] = {name: value for name, value in common.items() if value is not None}
    named = values.pop("method", {})
    own = method_options(named, given)
    if from_ is not None and own:
        raise UsageError("--set method.NAME cannot be given with --from, whose study decides the method.")
    if from_ is not None:
        recipe = read_recipe(from_, arm_)
        recipe = recipe if lr is None else replace(recipe, lr=lr)
        config, arm, rate = full_length(recipe, values), recipe.arm, recipe.lr
        target = arm.target()
    else:
        try:
            target = build(method or "lora", **given, **own)
            made_by = MadeBy(method=method or "lora", options={**given, **named})
        except (TypeError, ValueError, AttributeError) as error:  # a value of another type than the option's
            options = ", ".join(f"{name}={value!r}" for name, value in own.items())
            raise UsageError(f"method {method or 'lora'!r} cannot be built with {options}: {error}.") from None
        rate = lr if lr is not None else default_rate(scale or "quick", target, method or "lora")
        config, arm = single_config(target, scale or "quick", values, rate, made_by)
    folder = out or Path("runs") / (f"train-{from_.name}" if from_ is not None else f"train-{method or 'lora'}")
    screen = console.out()
    if dry_run:
        plan = {"target": repr(target), "lr": rate, "config": config.to_dict(), "out": str(folder)}
        if json_:
            say_json(plan, sort=False)
        else:
            say_text(f"{target!r}, lr {rate:g}, into {folder}")
        return 0
    with console.watching(folder, config.to_dict(), listed("report-to", report_to)) as progress:
        trained = run_single(config, arm, folder, progress)
    if json_:
        say_json(trained.to_dict())
    elif trained.result.status != "done":
        for text in (f"{trained.result.reason}.", f"Next: {slower(typed('train'), rate, folder)}"):
            screen.print(escape(text), highlight=False, soft_wrap=True)
    else:
        result = trained.result
        assert result.test is not None
        lines = [
            f"{target!r}, learning rate {rate:g}",
            f"test NLL per completion token {result.test.mean:.4f} (base {trained.base_test.mean:.4f}), "
            f"best step {result.best_step} of {config.steps}, {result.trainable:,} trainable parameters",
            *(f"event {line(entry)}" for entry in summarize(result.events)),
            *update_words(result),
            f"saved in {trained.path}",
            f"Next: {evaluation(config, target, folder)}",
        ]
        for text in lines:
            screen.print(escape(text), highlight=False, soft_wrap=True)
    return 0 if trained.result.status == "done" else 1
