"""Arms that a person gives, keeps or puts first."""

from __future__ import annotations

from typing import Any

from rankwise.errors import UsageError, unknown
from rankwise.studies.config import ARMS, Arm
from rankwise.studies.presets.arms import full_arm
from rankwise.studies.settings import too_many

Arms = tuple[Arm, ...]


def parse_arms(values: Any) -> Arms:
    """Read arms given as a list of mappings; a missing reference is put first, missing names are made.

    Raises:
        UsageError: an arm that is not a mapping or has an unknown key, or too many of them.
    """
    from pydantic import ValidationError

    arms = []
    given = values if isinstance(values, list) else [values]
    if len(given) > ARMS:
        raise too_many("arms", len(given), ARMS)
    for number, value in enumerate(given, 1):
        if not isinstance(value, dict):
            raise UsageError(f"arm {number} must be a mapping such as {{method: lora, options: {{rank: 16}}}}.")
        name = value.get("name") or "-".join([str(value.get("method", "arm")).replace("_", "-"), str(number)])
        try:
            arms.append(Arm.model_validate({"label": name, **value, "name": name}))
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"arm {name}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    if not arms or arms[0].method != "full":
        arms.insert(0, full_arm())
    return tuple(arms)


def best_rank_first(arms: Arms) -> Arms:
    """Drop full fine-tuning and put the highest rank on all linear layers first, as the reference."""
    adapters = [arm for arm in arms if arm.method != "full"]
    ladder = [arm for arm in adapters if arm.method == "lora" and arm.options.get("placement") == "all-linear"]
    if not ladder or len(adapters) < 2:
        raise UsageError("reference best-rank needs a LoRA arm on all linear layers and one more adapter arm.")
    best = max(
        ladder, key=lambda arm: (rank if isinstance(rank := arm.options.get("rank"), int) else 0, arm.batch is None)
    )
    return (best, *(arm for arm in adapters if arm is not best))


def kept(arms: Arms, wanted: list[str]) -> Arms:
    """Keep the reference and the arms whose name or method is wanted.

    Raises:
        UsageError: a name that no arm has, or nothing left beside the reference.
    """
    names = {arm.name for arm in arms} | {arm.method for arm in arms}
    for name in wanted:
        if name not in names:
            raise unknown("method in this study", name, names)
    found = tuple(arm for arm in arms if arm is arms[0] or arm.name in wanted or arm.method in wanted)
    if len(found) == 1:
        raise UsageError("a study needs at least one arm besides full fine-tuning.")
    return found
