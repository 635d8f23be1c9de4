"""``rankwise study``: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankwise.cli.options import (
    Batch,
    Columns,
    Data,
    DryRun,
    Json,
    MaxLength,
    Model,
    Out,
    ReportTo,
    Scale,
    Seed,
    Steps,
)

if TYPE_CHECKING:
    from rankwise.studies.config import StudyConfig


def study(
    preset: Annotated[
        str,
        typer.Argument(
            help="without-regret, rank, learning-rate, batch-size, placement, methods, olora, which-matrices, "
            "orthogonalization, smoke, or a .yaml file."
        ),
    ] = "without-regret",
    model: Model = None,
    data: Data = None,
    columns: Columns = None,
    max_length: MaxLength = None,
    scale: Scale = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Keep only these arms, by method or arm name: lora,olora. Preset methods takes any method here, and a "
            "group (all, dynamics) for a few steps of each."
        ),
    ] = None,
    steps: Steps = None,
    batch: Batch = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="decided: add fresh seeds one by one, look after each, stop when all is decided or going on is futile "
            "(the usual way). seeds: one look, after --seeds of them."
        ),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(help="Where to stop undecided: fresh seeds (12, or '12 seeds') or a time of training (30m)."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Look exactly once, at so many fresh seeds (3 or more to generalize).")
    ] = None,
    seed: Seed = None,
    reference: Annotated[
        str | None, typer.Option(help="full, best-rank (the highest rank stands in), or auto (whichever fits).")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Fit into this time (20m, 2h, 90s): says what it leaves out; shared evenly by several cells."
        ),
    ] = None,
    cheapest_by: Annotated[
        str | None,
        typer.Option("--cheapest-by", help="Recommend by flops (default), memory, time, params or bytes."),
    ] = None,
    out: Out = None,
    report_to: ReportTo = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any setting of the study by name, such as --set steps=40 --set sizes.test=64; --set "
            "method.events=NAME lets an event act in every adapter.",
        ),
    ] = None,
    json_: Json = False,
    dry_run: DryRun = False,
) -> int:
    """Train adapters and full fine-tuning, each at its own best learning rate, and judge which adapter matches.

    Writes runs/<preset>-<scale>/ with report.html, results.json, figures/ and best/ (PEFT format). Interrupted? The
    same command continues. More arms or seeds on the same folder extend the study.
    """
    from pathlib import Path

    from rankwise.cli import console
    from rankwise.cli.options import changes, listed, say_loading, typed

    say_loading()
    from rankwise.studies.presets.other_kinds import OTHER_KINDS

    if preset in OTHER_KINDS:
        from rankwise.cli.other_study import study_another_kind

        unfit = {"--methods": methods, "--reference": reference, "--budget": budget, "--cheapest-by": cheapest_by}
        own = {"model": model, "data": data, "columns": columns, "max_length": max_length}
        own |= {"steps": steps, "batch": batch, "seeds": seeds, "seed": seed}
        unfit |= {"--until": until, "--limit": limit, "--report-to": report_to}
        return study_another_kind(preset, own, unfit, scale, setting, out, json_=json_, dry_run=dry_run)
    from rankwise.studies.cells import study_cells

    first = 0 if seed is None else seed
    models, datasets = listed("model", model), listed("data", data)
    values = changes(
        setting,
        model=models[0] if models else None,
        data=datasets[0] if datasets else None,
        columns=columns,
        max_length=max_length,
        steps=steps,
        batch=batch,
        seed=seed,
        reference=reference,
        cheapest_by=cheapest_by,
        methods=listed("methods", methods) or None,
    )
    if budget is not None:
        from rankwise.studies.budget.plan import parse_budget

        values["budget"] = {"seconds": parse_budget(budget)}
    from rankwise.cli.looking import looking

    looks = looking(until, limit, seeds, first, values)
    if looks or seed is not None:
        plain = _resolve(preset, scale, {name: value for name, value in values.items() if name != "reference"})
        if seed is not None and "fresh_seeds" not in values | looks:  # as many as usual, after the search's
            after = [seed + number for number, _ in enumerate(plain.fresh_seeds, 1)]
            looks = {"fresh_seeds": after, "until": plain.until, **looks}
        if looks and "finalists" not in values and not plain.finalists:
            looks["finalists"] = 2  # the tutorial scale has none of its own
    values |= looks
    why = None
    if reference == "auto":
        from rankwise.studies.results.reference import choose_reference

        size = _resolve(preset, scale, {**values, "reference": "full"})
        choice = choose_reference(size.model, size.dtype, size.batch, size.max_length)
        values["reference"], why = choice.reference, choice.why
    config = _resolve(preset, scale, values)
    name = Path(preset).stem if _is_file(preset) else f"{config.preset}-{config.scale}"
    folder = out or Path("runs") / name
    if _is_file(preset) and not datasets:  # the file names its data
        datasets = [config.data]
    cells = study_cells(config, models, datasets)
    if dry_run:
        from rankwise.cli.plan import show_plan

        show_plan(config, folder, as_json=json_, cells=cells)
        return 0
    if why:
        console.err().print(why, highlight=False, markup=False)
    from rankwise.cli.conducting import conduct

    command, trackers = typed("study"), listed("report-to", report_to)
    if len(cells) > 1:
        from rankwise.cli import many

        return many.study_cells(config, cells, folder, command=command, as_json=json_, report_to=trackers)
    from rankwise.studies.study import run_study

    return conduct(run_study, config, folder, command=command, as_json=json_, report_to=trackers)


def _is_file(preset: str) -> bool:
    return preset.endswith((".yaml", ".yml"))


def _resolve(preset: str, scale: str | None, values: dict[str, Any]) -> StudyConfig:
    from pathlib import Path

    from rankwise.studies.presets.resolve import resolve_file, resolve_study

    if _is_file(preset):
        return resolve_file(Path(preset), values | ({"scale": scale} if scale else {}))
    return resolve_study(preset, scale or "quick", values)
