"""Which adapter answers when the task is not known: the nearest centroid's, or none (CoLoR, arXiv 2311.17601).

The feature of an example is the mean of the untouched model's last hidden states over its prompt, on the unit sphere.
Every task keeps k centroids of its training examples (k-means) and a radius: how far from them its examples lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankwise.data import Encoded
from rankwise.engine import Forward
from rankwise.engine.batches import collate, evaluation_passes

ROUNDS = 50
FEATURE = "mean of the untouched model's last hidden states over the prompt, scaled to length one"


@dataclass(frozen=True, eq=False)
class Region:
    """Where a task's examples are: centroids (k, d), and the radius within which they lie (see :func:`region`)."""

    centroids: Tensor
    radius: float

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values, exact."""
        return {"centroids": self.centroids.tolist(), "radius": self.radius}

    @classmethod
    def from_dict(cls, value: Mapping[str, object]) -> Region:
        """Build from :meth:`to_dict`'s form."""
        return cls(torch.tensor(value["centroids"], dtype=torch.float64), float(value["radius"]))  # type: ignore[arg-type]


def features(forward: Forward, examples: Sequence[Encoded]) -> Tensor:
    """Return the features (N, d) of the examples' prompts, float64; no adapter acts."""
    device = next(forward.model.parameters()).device
    backbone = forward.backbone if forward.backbone is not None else forward.model
    found: dict[int, Tensor] = {}
    with torch.no_grad(), forward.only(None):
        for indices in evaluation_passes(examples):
            some = [examples[i] for i in indices]
            batch = collate(some, device)
            out = backbone(
                input_ids=batch.ids, attention_mask=batch.attention_mask, use_cache=False, output_hidden_states=True
            )
            hidden = out.hidden_states[-1].double()
            for row, (i, example) in enumerate(zip(indices, some, strict=True)):
                mean = hidden[row, : example.target_mask.index(True)].mean(0)
                found[i] = mean / mean.norm().clamp_min(1e-12)
    return torch.stack([found[i] for i in range(len(examples))]).cpu()


def region(points: Tensor, k: int, seed: int = 0) -> Region:
    """Cluster a task's features (N, d); fewer points, fewer centroids.

    The radius is measured on every second point, with centroids of the others: those a centroid is made of lie closer
    to it than new ones will.
    """
    centroids = cluster(points, k, seed)
    half, held = (points[::2], points[1::2]) if len(points) >= 4 else (points, points)
    return Region(centroids, float(torch.cdist(held, cluster(half, k, seed)).amin(1).max()))


def cluster(points: Tensor, k: int, seed: int = 0) -> Tensor:
    """Return the centroids (k, d) of k-means, begun at a seeded choice of far-apart points."""
    k = min(k, len(points))
    stream = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(points), (1,), generator=stream))]
    while len(chosen) < k:
        chosen.append(int(torch.cdist(points, points[chosen]).amin(1).argmax()))
    centroids = points[chosen].clone()
    for _ in range(ROUNDS):
        nearest = torch.cdist(points, centroids).argmin(1)
        moved = torch.stack([points[nearest == j].mean(0) if (nearest == j).any() else centroids[j] for j in range(k)])
        if torch.equal(moved, centroids):
            break
        centroids = moved
    return centroids


def route(points: Tensor, regions: Mapping[str, Region], abstain: float) -> list[str | None]:
    """Return the task of the nearest centroid for each point (N, d); None where the base should answer.

    Args:
        abstain: the base answers farther than this many times the task's radius; 0: never.
    """
    names = list(regions)
    distances = torch.stack([torch.cdist(points, regions[name].centroids).amin(1) for name in names], dim=1)
    nearest = distances.argmin(1).tolist()
    found: list[str | None] = []
    for row, place in enumerate(nearest):
        far = abstain and float(distances[row, place]) > abstain * regions[names[place]].radius
        found.append(None if far else names[place])
    return found
