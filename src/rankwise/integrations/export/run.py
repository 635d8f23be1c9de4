"""``export``: plain factors, limits, files, proof, and only then the folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rankwise.errors import RunError, UsageError, unknown
from rankwise.files import new_folder
from rankwise.integrations.ends import write_ends
from rankwise.integrations.export import loader
from rankwise.integrations.export.card import write_card
from rankwise.integrations.export.llama_cpp import ForLlamaCpp
from rankwise.integrations.export.peft_target import ForPEFT
from rankwise.integrations.export.plain import Plain, flatten, plain_modules, why_not_plain
from rankwise.integrations.export.proof import Proof, prove, prove_in_double
from rankwise.integrations.export.servers import ForSGLang, ForVLLM
from rankwise.integrations.export.target import Package, Target
from rankwise.integrations.live import Live, unverified
from rankwise.models.saving import seal_rest

TARGETS: dict[str, type[Target]] = {t.name: t for t in (ForPEFT, ForVLLM, ForSGLang, ForLlamaCpp)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
EXACT = 1e-5  # of the largest logit, in float32: rounding of a deep forward pass
DOUBLE = 1e-6  # the same in float64, asked when float32 rounding alone passes EXACT; norms of models stay in float32
NARROW = 0.05  # of what the adapter does: the rounding of factors to 16 bits


@dataclass(frozen=True)
class Exported:
    """What was written and how it was checked.

    Attributes:
        errors: by module, what is lost of the update (Frobenius, relative); 0 where exact.
        proof: the logits check.
    """

    target: str
    folder: Path
    rank: int
    dtype: str
    errors: dict[str, float]
    proof: Proof
    notes: tuple[str, ...]
    next_step: str

    @property
    def exact(self) -> bool:
        """Whether nothing but rounding was lost."""
        return not any(self.errors.values())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **{k: v for k, v in self.__dict__.items() if k not in ("proof", "folder", "notes")},
            "folder": str(self.folder),
            "exact": self.exact,
            "logits": {**self.proof.__dict__, "share": self.proof.share},
            "notes": list(self.notes),
        }


def export(live: Live, target: str, out: Path, *, max_rank: int | None = None, dtype: str | None = None) -> Exported:
    """Write the adapter of ``live`` for ``target`` into the new folder ``out``.

    Args:
        target: one of ``TARGETS``.
        max_rank: largest rank the target may be given; its own default when left out.
        dtype: of the tensors; the factors' own when left out.

    Raises:
        UsageError: an unknown target or dtype, an adapter that the target cannot hold, or ``out`` exists.
        RunError: the written files do not give the live adapter's logits. Nothing is left on disk in any case.
    """
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)
    program = TARGETS[target]()
    _check_options(program, max_rank, dtype)
    if reason := why_not_plain(live.handle.adapter):
        raise UsageError(f"{live.folder} cannot be exported: {reason}; load it with rankwise.load.")
    if dtype is None and "bfloat16" not in program.dtypes:  # GGUF adapters have a type of their own
        dtype = "float32"
    most = max_rank if max_rank is not None else program.most
    modules = plain_modules(live.handle, most=most, decomposed=program.decomposed and max_rank is None)
    if most is not None:
        _check_rank(modules, most, program, live)
    overlay = live.handle.overlay
    package = Package(
        modules=flatten(modules, DTYPES[dtype] if dtype else None),
        whole=dict(overlay.tensors) if overlay else {},
        whole_modules=tuple(overlay.modules) if overlay else (),
        model=live.base.model,
        base_model=live.name,
    )
    program.check(package)
    with new_folder(out) as folder:
        program.write(folder, package)
        write_ends(folder, live.base.tokenizer, live.base.model)
        seal_rest(folder)
        errors = {module.path: module.error for module in modules}
        kind = dtype or str(package.modules[0].A.dtype).removeprefix("torch.")
        same = not any(errors.values()) and kind not in ("bfloat16", "float16")
        proof = _prove(live, program, folder, same=same)
        notes = tuple(note for note in (program.ignores, *_notes(live, errors)) if note)
        _accept(proof, exact=not any(errors.values()), narrow=kind in ("bfloat16", "float16"))
        done = Exported(target, out, package.rank, kind, errors, proof, notes, program.next_step(out))
        write_card(folder, live, done)
    return done


def _check_options(program: Target, max_rank: int | None, dtype: str | None) -> None:
    if max_rank is not None and max_rank < 1:
        raise UsageError(f"--max-rank must be at least 1, found {max_rank}.")
    if dtype is not None and dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if dtype is not None and dtype not in program.dtypes:
        raise UsageError(f"{program.program} adapters are written in {' or '.join(program.dtypes)}, not {dtype}.")


def _check_rank(modules: list[Plain], most: int, program: Target, live: Live) -> None:
    large = max(modules, key=lambda module: module.rank)
    if large.rank <= most:
        return
    doubled = " (a base-editing init doubles it)" if live.handle.adapter.init.edits_base else ""
    needed = ForVLLM.allowed(large.rank) if isinstance(program, ForVLLM) else large.rank
    choices = [program.raise_most.format(rank=needed) if program.raise_most else f"use --max-rank {large.rank}"]
    choices.append(f"cut it with `rankwise compress {live.folder} --rank {most}`, which shows what that loses")
    raise UsageError(
        f"the adapter is exact at rank {large.rank}{doubled}, and {program.program} was to be given at most {most}; "
        f"{', or '.join(choices)}."
    )


def _prove(live: Live, program: Target, folder: Path, *, same: bool) -> Proof:
    def written(model: nn.Module, ids: Tensor) -> Tensor:
        read = program.read(folder, model)
        return loader.beside_logits(model, read, ids)

    single = {p.dtype for p in live.base.model.parameters()} == {torch.float32}
    narrows = not live.handle.adapter.storage.quantizes  # codes read as what they were made from
    proof = prove(live.base, live.handle, written, low=single and narrows)
    if same and single and narrows and proof.share > EXACT:
        return prove_in_double(live.base, live.handle, written, proof)
    return proof


def _accept(proof: Proof, *, exact: bool, narrow: bool) -> None:
    """Raise unless the logits are the live adapter's, as far as the form allows."""
    allowed = (DOUBLE if proof.dtype == "float64" else EXACT) * proof.largest
    if narrow:
        allowed = max(allowed, NARROW * proof.effect)
    if exact and not proof.difference <= allowed:
        raise RunError(
            f"the written adapter is not the live one: {proof.sentence()}; nothing was kept. This is a fault of "
            "rankwise: please report it with the adapter's rankwise.json."
        )
    if not exact and not proof.difference < max(proof.effect, EXACT * proof.largest):
        raise RunError(
            f"at this rank the export is no nearer to the adapter than the bare base: {proof.sentence()}; nothing was "
            "kept. Use a larger --max-rank, or put it into the base with `rankwise merge`."
        )


def _notes(live: Live, errors: dict[str, float]) -> list[str]:
    notes = []
    if any(errors.values()):
        worst = max(errors, key=lambda path: errors[path])
        notes.append(
            f"the update has no exact low-rank form: the SVD loses up to {errors[worst]:.1%} of it ({worst}); "
            "a larger --max-rank loses less"
        )
    if live.handle.adapter.storage.quantizes:
        notes.append(
            f"it was trained beside W0 in {live.handle.adapter.storage.name}: load the base in four bits, or it "
            "corrects rounding that is not there"
        )
    if not live.checked:
        notes.append("the adapter does not say which base it was trained on: the base could not be checked")
    return [*notes, *unverified(live.folder)]
