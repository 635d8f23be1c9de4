"""``rankwise cost``: what an adapter will cost, before anything is downloaded or trained."""

from __future__ import annotations

from typing import Annotated

import typer

from rankwise.cli.options import Json, say_json

CostModel = Annotated[
    str | None,
    typer.Option(
        help="'default' (SmolLM2-135M), 'tiny', a name such as LLaMA-2-70B or Qwen2.5-0.5B, "
        "a config.json, a folder, or a hub id owner/name. No weights are needed."
    ),
]


def cost(
    model: CostModel = None,
    method: Annotated[str, typer.Option(help="A name from `rankwise methods`, or full.")] = "lora",
    rank: Annotated[int | None, typer.Option(help="Inner dimension of the update.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Numerator of the scaling; costs nothing.")] = None,
    placement: Annotated[
        str | None, typer.Option(help="all-linear, attention, mlp, regex:PATTERN, or names such as q_proj,v_proj.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Examples per optimizer step.")] = 8,
    length: Annotated[int, typer.Option(help="Tokens per example.")] = 256,
    targets: Annotated[
        int | None, typer.Option(help="Of these, tokens in the loss; half of them if not given.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = 60,
    dtype: Annotated[str, typer.Option(help="Of the weights: bfloat16, float16 or float32.")] = "bfloat16",
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Measure this machine for a second to estimate time.")
    ] = True,
    json_: Json = False,
) -> None:
    """Estimate parameters, memory, operations and time of an adapter, beside full fine-tuning of the same model.

    Works for models that are not on this machine: the shapes come from the model's config.
    """

    import torch

    from rankwise.cli.cost_tables import show
    from rankwise.cost import Plan, blueprint, estimate
    from rankwise.errors import unknown
    from rankwise.methods import build
    from rankwise.studies.running.device import pick_device

    dtypes = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
    if dtype not in dtypes:
        raise unknown("dtype", dtype, dtypes)
    options = {"rank": rank, "alpha": alpha, "placement": placement}
    target = build(method, **{k: v for k, v in options.items() if v is not None})
    plan = Plan(batch, length, max(length // 2, 1) if targets is None else targets, steps)
    source = blueprint(model, dtypes[dtype])
    found = estimate(source, target, plan, calibrate_on=pick_device() if calibrate else None)
    if json_:
        say_json(found.to_dict(), sort=False)
    else:
        show(found)
