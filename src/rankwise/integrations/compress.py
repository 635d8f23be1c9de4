"""``compress``: an adapter cut by SVD to a rank or to a share of its energy, with what that costs.

The error at rank k is the Frobenius norm of all that is cut over that of the whole update, all modules together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rankwise.adapters import Adapter, Handle, save
from rankwise.adapters.attach import install
from rankwise.adapters.inits import Kaiming
from rankwise.adapters.parametrizations import LowRank
from rankwise.adapters.scalings import AlphaOverRank
from rankwise.adapters.slot import Slot
from rankwise.data import Encoded
from rankwise.engine import Forward, evaluate
from rankwise.errors import UsageError
from rankwise.files import new_folder, write_json, write_text
from rankwise.integrations.export.plain import why_not_plain
from rankwise.integrations.export.svd import Spectrum, of_dense, of_product
from rankwise.integrations.live import Live, saved_fingerprint
from rankwise.models import carry
from rankwise.stats.single import Mean, per_token


@dataclass(frozen=True)
class Point:
    """One line of the curve: rank, error (relative, Frobenius), held-out NLL when data were given."""

    rank: int
    error: float
    nll: Mean | None


@dataclass(frozen=True)
class Compressed:
    """What was written.

    Attributes:
        ranks: by module.
        error: of what was written, all modules together.
        curve: what other ranks would have lost; the last is the whole update.
        base_nll: of the bare base, when data were given.
    """

    folder: Path
    ranks: Mapping[str, int]
    error: float
    nll: Mean | None
    base_nll: Mean | None
    curve: tuple[Point, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        points = [{**point.__dict__, "nll": point.nll.__dict__ if point.nll else None} for point in self.curve]
        means = {name: mean.__dict__ if (mean := getattr(self, name)) else None for name in ("nll", "base_nll")}
        return {"folder": str(self.folder), "ranks": dict(self.ranks), "error": self.error, "curve": points, **means}


def compress(
    live: Live,
    out: Path,
    *,
    rank: int | None = None,
    energy: float | None = None,
    examples: Sequence[Encoded] | None = None,
) -> Compressed:
    """Write the adapter of ``live`` at a lower rank into the new folder ``out``; ``live`` is detached.

    Args:
        rank: of every module.
        energy: or the share of squared singular values each module keeps, by its own smallest rank.
        examples: held-out ones, to measure what every rank of the curve loses.

    Raises:
        UsageError: neither or both of rank and energy, a value out of range, or ``out`` exists.
    """
    if (rank is None) == (energy is None):
        raise UsageError("compress needs either a rank or an energy, for instance --rank 8 or --energy 0.95.")
    if rank is not None and rank < 1:
        raise UsageError(f"rank must be at least 1, found {rank}.")
    if energy is not None and not 0 < energy <= 1:
        raise UsageError(f"energy must be above 0 and at most 1, found {energy:g}; it is the share of energy kept.")
    if reason := why_not_plain(live.handle.adapter):
        raise UsageError(f"{live.folder} cannot be compressed: {reason}.")
    spectra = {path: _spectrum(path, slot) for path, slot in live.handle.slots.items()}
    whole = max(slot.rank for slot in live.handle.slots.values()) * (1 + live.handle.adapter.init.edits_base)
    if rank is not None and rank > max(len(s.S) for s in spectra.values()):
        raise UsageError(f"rank {rank} is above that of every module; the adapter's own is {whole}.")
    ranks = {path: min(rank, len(s.S)) if rank else s.rank_for(energy or 1.0) for path, s in spectra.items()}
    measure = _Measure(live, spectra, examples)
    base_nll = measure.base()
    ladder = sorted({*(2**n for n in range(12) if 2**n < whole), *((rank,) if rank else ()), whole})
    curve = tuple(Point(k, _error(spectra, dict.fromkeys(spectra, k)), measure.at(k)) for k in ladder)
    handle = measure.attach(ranks)
    nll = measure.score()
    with new_folder(out) as folder:
        save(handle, folder, base_model=live.name, base_fingerprint=saved_fingerprint(live.folder))
        carry(live.folder, folder)
        done = Compressed(out, ranks, _error(spectra, ranks), nll, base_nll, curve)
        write_json(folder / "compression.json", {k: v for k, v in done.to_dict().items() if k != "folder"})
        write_text(folder / "README.md", _card(live, done))
    return done


def _spectrum(path: str, slot: Slot) -> Spectrum:
    plain = slot.plain()
    parts = (slot.delta(),) if plain is None else plain
    if not all(part.isfinite().all() for part in parts):
        raise UsageError(f"the update of {path} is NaN or infinite: its factors or its scale are too large to be cut.")
    return of_dense(*parts) if plain is None else of_product(*parts)


def _error(spectra: Mapping[str, Spectrum], ranks: Mapping[str, int]) -> float:
    lost = sum(float(spectrum.S[ranks[path] :].square().sum()) for path, spectrum in spectra.items())
    whole = sum(float(spectrum.S.square().sum()) for spectrum in spectra.values())
    return float((lost / whole) ** 0.5) if whole else 0.0


class _Measure:
    """Puts cut adapters on the base, one after another, and scores them."""

    def __init__(self, live: Live, spectra: Mapping[str, Spectrum], examples: Sequence[Encoded] | None) -> None:
        self.model, self.spectra, self.examples = live.base.model, spectra, examples
        self.dtypes = {path: next(iter(slot.factors.values())).dtype for path, slot in live.handle.slots.items()}
        self.overlay, self.adapter = live.handle.overlay, live.handle.adapter
        self.stored = {path: layer.stored for path, layer in live.handle.layers.items() if layer.stored is not None}
        live.handle.detach()
        self.forward = Forward(self.model) if examples else None
        self.handle: Handle | None = None

    def base(self) -> Mean | None:
        return self.score()

    def at(self, rank: int) -> Mean | None:
        if self.forward is None:
            return None
        self.attach({path: min(rank, len(spectrum.S)) for path, spectrum in self.spectra.items()})
        return self.score()

    def score(self) -> Mean | None:
        if self.forward is None or self.examples is None:
            return None
        score = evaluate(self.forward, self.examples)
        return per_token(score.nll, score.targets)

    def attach(self, ranks: Mapping[str, int]) -> Handle:
        if self.handle is not None:
            self.handle.detach()
        most = max(ranks.values())
        placement, storage = self.adapter.placement, self.adapter.storage
        plain = Adapter(most, float(most), LowRank(), Kaiming(), AlphaOverRank(), placement, storage=storage)
        slots = {}
        for path, spectrum in self.spectra.items():
            A, B = spectrum.factors(ranks[path])
            slots[path] = Slot(
                plain.parametrization,
                self.model.get_submodule(path),
                {"A": A.to(self.dtypes[path]), "B": B.to(self.dtypes[path])},
                scaling=1.0,
                dropout=0.0,
                edits_base=False,
                generator=torch.Generator(),
                rank=ranks[path],
                origin=self.stored[path].codes if path in self.stored else None,
                start={},
            )
        self.handle = install(self.model, plain, slots, stored=self.stored, overlay=self.overlay)
        return self.handle


def _card(live: Live, done: Compressed) -> str:
    from rankwise.studies.results.modelcard import card_header, carried

    ranks = sorted(set(done.ranks.values()))
    lines = [
        *card_header(live.name),
        f"# {live.folder.name}, cut by SVD",
        "",
        f"- rank {ranks[0]}" + (f" to {ranks[-1]}" if len(ranks) > 1 else "") + ", alpha = rank (scale 1)",
        f"- {done.error:.2%} of the update is lost (Frobenius norm, all modules)",
    ]
    if done.nll and done.base_nll:
        lines.append(f"- held-out NLL per token {done.nll}, before {done.curve[-1].nll}, bare base {done.base_nll}")
    lines += ["", "| rank | error | NLL |", "|---|---|---|"]
    lines += [
        f"| {p.rank} | {p.error:.2%} | {p.nll.value:.4f} |" if p.nll else f"| {p.rank} | {p.error:.2%} | |"
        for p in done.curve
    ]
    return "\n".join([*lines, "", *carried(live.folder)])
