"""``merge``: base plus adapter as a model folder of its own, streamed, verified, never in the base's place."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rankwise.errors import UsageError, unknown
from rankwise.files import new_folder, write_json, write_text
from rankwise.integrations.ends import tokenizer_in, write_ends
from rankwise.integrations.export.run import DTYPES
from rankwise.integrations.live import Progress, base_name, saved_fingerprint, unverified
from rankwise.integrations.merge.identity import check_base
from rankwise.integrations.merge.names import Names
from rankwise.integrations.merge.plan import Plan, make_plan, skeleton
from rankwise.integrations.merge.shards import INDEX, Shards, index, kind_of, names_in, open_shards, write
from rankwise.integrations.merge.ties import Ties
from rankwise.integrations.merge.verify import Verified, fits, verify
from rankwise.models import folder_of, put_input, rows_of
from rankwise.models.folder import check_folder
from rankwise.models.saving import seal_rest
from rankwise.reading import read_object

_NOT_COPIED = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".py", ".md")


@dataclass(frozen=True)
class Merged:
    """What was written.

    Attributes:
        changed: tensors that took an update or were replaced.
        untied: tensors that were tied, such as the output head to the embedding, have become tensors of their own.
        proof: the logits check, None when it was not done (``why_not`` says why).
    """

    folder: Path
    base: str
    adapter: str
    changed: int
    tensors: int
    dtype: str
    untied: bool
    proof: Verified | None
    why_not: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        own = {k: v for k, v in self.__dict__.items() if k not in ("proof", "folder", "notes")}
        proof = self.proof.to_dict() if self.proof else None
        return {**own, "folder": str(self.folder), "logits": proof, "notes": list(self.notes)}


def merge(
    base: str | None,
    adapter: Path,
    out: Path,
    *,
    dtype: str | None = None,
    check: bool | None = None,
    progress: Progress | None = None,
) -> Merged:
    """Write the base with the adapter added to its weights into the new folder ``out``.

    Every weight is computed in float32 (or wider) and rounded once; memory holds one tensor at a time.

    Args:
        base: ``default``, a folder or a hub id; the adapter's own when left out.
        dtype: of the merged weights, the base's own when left out.
        check: compare logits with the live adapter on real text: always, never, or when memory allows (None).

    Raises:
        UsageError: wrong base or adapter, ``out`` exists or is part of the base.
        RunError: the merged model is not the live one. Nothing is left on disk in any case.
    """
    if dtype is not None and dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    name = base_name(adapter, base)
    source = folder_of(name, progress)
    _check_place(out, source, adapter)
    shards = open_shards(source, check_folder(source))
    wide = torch.float64 if any(entry.kind == "F64" for entry in shards.entries.values()) else torch.float32
    model = skeleton(source, wide)
    names, ties = Names(model, shards), Ties(model)
    saved = saved_fingerprint(adapter)
    if saved:
        check_base(model, names, ties, shards, saved, name, adapter)
    plan = make_plan(model, adapter, names, ties, shards)
    target = DTYPES[dtype] if dtype else None
    notes = []
    if not saved:
        notes.append("the adapter does not say which base it was trained on: only shapes could be checked")
    notes += unverified(adapter)
    if plan.apart:
        one, *others = plan.apart[0]
        notes.append(f"{one} was one tensor with {', '.join(others)}; they differ now, so the files hold both")
    with new_folder(out) as folder:
        if progress:
            progress(f"Writing {len(shards.files())} files")
        _write(folder, plan, shards, target)
        _copy_rest(source, folder, plan, dtype)
        notes += put_input(adapter, source, folder, rows_of(model))
        tokenizer = tokenizer_in(folder)
        if tokenizer is not None and (added := write_ends(folder, tokenizer, model)):
            notes.append(f"a reply ends with {' or '.join(added)}, which generation_config.json says now")
        proof, why_not = None, ""
        if check is False:
            why_not = "not asked for"
        elif check is None and (short := fits(shards)):
            why_not = short
        else:
            if progress:
                progress("Comparing logits with the live adapter")
            dtypes = {name: target or plan.dtype(name) for name in (*plan.update, *plan.whole)}
            proof = verify(source, adapter, folder, dtypes)
            notes += proof.remarks()
        kind = dtype or "as the base"
        done = Merged(
            out, name, str(adapter), len(plan.changed), len(shards.entries) + len(plan.added), kind, bool(plan.apart),
            proof, why_not, tuple(notes),
        )  # fmt: skip
        write_text(folder / "README.md", _card(done))
        seal_rest(folder)
    return done


def _check_place(out: Path, source: Path, adapter: Path) -> None:
    here = out.resolve()
    for what, folder in (("the base", source.resolve()), ("the adapter", adapter.resolve())):
        if here == folder:
            raise UsageError(f"{out} is {what} itself, which is never overwritten; give another --out.")
        if folder in here.parents:
            raise UsageError(f"{out} lies inside {what} ({folder}), which is never changed; give another --out.")


def _write(folder: Path, plan: Plan, shards: Shards, dtype: torch.dtype | None) -> None:
    """Write every file, each tensor where the base has it; a head that was tied goes beside the embedding."""
    names = {file: list(names_in(shards, file)) for file in shards.files()}
    for added, name in plan.added.items():
        part = plan.names.of.get(plan.ties.in_files(name, plan.names.of))
        names[shards.entries[next(iter(part.files))].file if part else shards.files()[-1]].append(added)
    total = 0
    for file, inside in names.items():
        entries = {name: (_kind(name, plan, shards, dtype), plan.shape(name)) for name in inside}
        total += write(folder / file, entries, lambda name: plan.make(name, dtype), beside=plan.beside)
    if (shards.folder / INDEX).is_file() or len(names) > 1:
        where = {name: file for file, inside in names.items() for name in inside}
        write_json(folder / INDEX, index(total, where))


def _kind(file_name: str, plan: Plan, shards: Shards, dtype: torch.dtype | None) -> str:
    if file_name in plan.added:
        return kind_of(dtype or plan.dtype(plan.added[file_name]))
    entry = shards.entries[file_name]
    return kind_of(dtype) if dtype and entry.dtype else entry.kind


def _copy_rest(source: Path, folder: Path, plan: Plan, dtype: str | None) -> None:
    """Copy tokenizer, generation config, license and the like; write config.json with what has changed."""
    for path in sorted(source.iterdir()):
        skip = path.suffix in _NOT_COPIED or path.name.startswith(".") or path.name in (INDEX, "manifest.json")
        if path.is_file() and not skip:
            shutil.copyfile(path, folder / path.name)
    config = read_object(source / "config.json")
    if bool(plan.apart):
        config["tie_word_embeddings"] = False
    if dtype:
        config = {k: v for k, v in config.items() if k != "torch_dtype"} | {"dtype": dtype}
    write_json(folder / "config.json", config)


def _card(done: Merged) -> str:
    from rankwise import __version__
    from rankwise.studies.results.modelcard import card_header, carried

    lines = [
        *card_header(done.base, merged=True),
        f"# {done.base} with {Path(done.adapter).name} merged",
        "",
        f"- {done.changed} of {done.tensors} tensors changed, computed in float32 and rounded once",
        f"- {done.proof.sentence() if done.proof else 'logits not checked: ' + done.why_not}",
        *(f"- {note}" for note in done.notes),
        f"- made by rankwise {__version__}",
        "",
        *carried(Path(done.adapter)),
    ]
    return "\n".join(lines)
