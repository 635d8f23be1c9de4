"""HiddenKey: "LoRA Meets Dropout under a Unified Framework", Wang et al., 2024, arXiv 2403.00812.

Every pass over a batch is stochastic: attention drops whole keys (DropKey, by column), the feed-forward part drops
single hidden numbers (HiddenCut, by element). Two such passes p, q are held together by their divergence both ways:

    loss = (NLL(p) + NLL(q)) / 2 + beta (KL(p | q) + KL(q | p)) / 2      per target token

and ``beta`` 0 is HiddenKey-, one pass and no divergence. With S (queries, keys) the attention logits, -inf where a key
may not be seen, and m (keys) drawn for every sequence and head:

    DropKey        P = softmax(S, with -inf where m = 0)
    DropAttention  P = w m / sg(sum over keys of w m), w = softmax(S)       sg: no gradient

whose values are equal and whose gradients are not. A query that would be left without any key keeps its own.
Hidden numbers that stay are divided by 1 - p. Scoring has none of this: there the adapter is plain.

The rates and ``beta`` are values of ours, to be set per task; the
divergence is averaged over target tokens; hidden numbers are those that the last projection of the feed-forward part
reads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rankwise.adapters.events.base import Event
from rankwise.adapters.events.checks import share
from rankwise.adapters.events.context import Context
from rankwise.errors import UsageError


def kept_keys(S: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Return where ``S`` (..., heads, queries, keys) keeps its keys: one draw per key for all queries of a head."""
    drawn = torch.rand(*S.shape[:-2], 1, S.shape[-1], generator=generator).to(S.device) >= p
    empty = ~(drawn & torch.isfinite(S)).any(-1, keepdim=True)
    own = torch.eye(S.shape[-2], S.shape[-1], dtype=torch.bool, device=S.device)
    return drawn | (empty & own)


def drop_key(S: Tensor, keep: Tensor) -> Tensor:
    """Return the attention weights of ``S`` with dropped keys out of the softmax."""
    return torch.softmax(S.masked_fill(~keep, float("-inf")), -1)


def drop_attention(S: Tensor, keep: Tensor) -> Tensor:
    """Return the attention weights of ``S``, dropped afterwards and brought back to sum 1 by a constant."""
    kept = torch.softmax(S, -1) * keep
    return kept / kept.detach().sum(-1, keepdim=True).clamp_min(torch.finfo(kept.dtype).tiny)


def hidden_cut(h: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Return ``h`` with every number dropped with probability p, the others divided by 1 - p."""
    keep = torch.rand(h.shape, generator=generator).to(h.device) >= p
    return h * keep.to(h.dtype) / (1 - p)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return (KL(p | q) + KL(q | p)) / 2 per row, (M,), of log-probabilities (M, V)."""
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


@dataclass(frozen=True)
class HiddenKey(Event):
    """Dropout on keys and on hidden numbers, in two passes held together by their divergence."""

    name: ClassVar[str] = "hidden-key"
    needs: ClassVar[str] = "layers"
    doing: ClassVar[str] = "drops keys of the tokens themselves"
    keys: float = 0.1
    hidden: float = 0.1
    beta: float = 0.5
    position: Literal["logits", "weights"] = "logits"

    def __post_init__(self) -> None:
        for name in ("keys", "hidden"):
            object.__setattr__(self, name, share(self.name, name, getattr(self, name), ends="[)"))
        object.__setattr__(self, "beta", share(self.name, "beta", self.beta, 0.0, float("inf"), ends="[)"))
        if self.position not in ("logits", "weights"):
            raise UsageError(f"position must be 'logits' or 'weights', found {self.position!r} (event {self.name!r}).")

    @property
    def forwards(self) -> int:
        """Two, one without divergence."""
        return 2 if self.beta else 1

    def describe(self) -> str:
        """Return for instance ``keys dropped 10%, hidden 10%, divergence x 0.5``."""
        weight = f", divergence x {self.beta:g}" if self.beta else ""
        return f"keys dropped {self.keys:.0%}, hidden {self.hidden:.0%}{weight}"

    def objective(self, ctx: Context, logits: Callable[[], Tensor], next_ids: Tensor) -> Tensor:
        """Return the loss at the top of this file, (M,)."""
        weigh = functools.partial(self._weigh, generator=ctx.generator) if self.keys else None
        cut = functools.partial(hidden_cut, p=self.hidden, generator=ctx.generator) if self.hidden else None
        with ctx.masking(weigh, cut):
            found = [torch.log_softmax(logits(), -1) for _ in range(self.forwards)]
        nll = torch.stack([-log_p.gather(1, next_ids[:, None])[:, 0] for log_p in found]).mean(0)
        kl = divergence(*found) if self.beta else torch.zeros_like(nll)
        seen = ctx.state.get("seen", [0.0, 0.0, 0])
        sums = float(nll.detach().double().sum()), float(kl.detach().double().sum()), len(nll)
        ctx.state["seen"] = [old + new for old, new in zip(seen, sums, strict=True)]
        return nll + self.beta * kl

    def _weigh(self, S: Tensor, generator: torch.Generator) -> Tensor:
        keep = kept_keys(S, self.keys, generator)
        return drop_key(S, keep) if self.position == "logits" else drop_attention(S, keep)

    def after_backward(self, ctx: Context) -> None:
        """Say what the step's loss was made of, per target."""
        nll, kl, targets = ctx.state.pop("seen")
        with ctx.firing(measure=False) as note:
            note["nll"] = nll / targets
            if self.beta:
                note["divergence"] = kl / targets
