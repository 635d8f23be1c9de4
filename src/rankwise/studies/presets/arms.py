"""Makes the arms that presets compare."""

from __future__ import annotations

from rankwise.studies.config import Arm

ALPHA = 32.0  # at every rank, with scale alpha/r: the convention of "LoRA Without Regret"


def full_arm(batch: int | None = None) -> Arm:
    """Full fine-tuning; with ``batch``, at a batch size of its own."""
    if batch is None:
        return Arm(name="full", label="Full fine-tuning", method="full")
    return Arm(name=f"full-b{batch}", label=f"Full fine-tuning, batch {batch}", method="full", batch=batch)


def lora_arm(rank: int, placement: str = "all-linear", *, alpha: float = ALPHA, batch: int | None = None) -> Arm:
    """LoRA at one rank and placement."""
    name, label = f"lora-r{rank}", f"LoRA r={rank}"
    if placement != "all-linear":
        name, label = f"{name}-{placement}", f"{label}, {placement} only"
    if batch is not None:
        name, label = f"{name}-b{batch}", f"{label}, batch {batch}"
    options: dict[str, str | int | float] = {"rank": rank, "alpha": float(alpha), "placement": placement}
    return Arm(name=name, label=label, method="lora", options=options, batch=batch)


def method_arm(method: str, label: str, rank: int) -> Arm:
    """Another method at one rank, with its own default alpha."""
    return Arm(
        name=f"{method.replace('_', '-')}-r{rank}", label=f"{label} r={rank}", method=method, options={"rank": rank}
    )
