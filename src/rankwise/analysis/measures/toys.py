"""Toy models: token clustering (arXiv 2402.15415), networks of low effective rank, growing ranks."""

from __future__ import annotations

import torch
from torch import Tensor


def cluster_path(X: Tensor, V: Tensor, *, beta: float = 1.0, step: float = 0.05, steps: int = 100) -> list[Tensor]:
    """Follow tokens X (N, d) on the unit sphere under attention with value matrix V (d, d).

    dx_i/dt = P_x (sum_j softmax_j(beta <x_i, x_j>) V x_j), P_x the projection on the tangent space; Euler steps, each
    put back on the sphere. Returns steps + 1 clouds, the first one X normalized.
    """
    x = X / X.norm(dim=1, keepdim=True)
    path = [x]
    for _ in range(steps):
        pull = torch.softmax(beta * x @ x.T, dim=1) @ x @ V.T
        x = x + step * (pull - (pull * x).sum(1, keepdim=True) * x)
        x = x / x.norm(dim=1, keepdim=True)
        path.append(x)
    return path


def wasserstein(X: Tensor, Y: Tensor) -> float:
    """Return the exact Wasserstein-2 distance of two clouds of equal size, by an optimal assignment."""
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(X, Y, compute_mode="donot_use_mm_for_euclid_dist").square()
    rows, columns = linear_sum_assignment(cost.numpy())
    return float(cost[rows, columns].mean().sqrt())


def clusters(X: Tensor, cosine: float = 0.99) -> int:
    """Count groups of unit vectors chained by a cosine above the threshold."""
    near = cosine < (X @ X.T)
    left, count = set(range(len(X))), 0
    while left:
        count += 1
        queue = [left.pop()]
        while queue:
            found = {j for j in left if near[queue[-1], j]}
            queue.pop()
            left -= found
            queue.extend(found)
    return count


def block_network(blocks: int, size: int, inside: float, across: float, generator: torch.Generator) -> Tensor:
    """Draw the symmetric 0/1 adjacency (blocks * size squared, float64) of a stochastic block model."""
    group = torch.arange(blocks).repeat_interleave(size)
    p = torch.where(group[:, None] == group[None, :], inside, across).double()
    drawn = (torch.rand(p.shape, generator=generator, dtype=torch.float64) < p).triu(1).double()
    return drawn + drawn.T


def outliers(sigma: Tensor, blocks: int) -> float:
    """Return how far the first ``blocks`` singular values stand out: sigma_q over sigma_{q+1}."""
    return float(sigma[blocks - 1] / sigma[blocks])


def merged_ranks(d_out: int, d_in: int, rank: int, merges: int, generator: torch.Generator) -> list[int]:
    """Return the numerical rank of a growing sum of independent rank-r updates after each merge."""
    from rankwise.analysis.measures.spectra import numerical_rank

    total = torch.zeros(d_out, d_in, dtype=torch.float64)
    ranks = []
    for _ in range(merges):
        B = torch.randn(d_out, rank, generator=generator, dtype=torch.float64)
        total = total + B @ torch.randn(rank, d_in, generator=generator, dtype=torch.float64)
        ranks.append(numerical_rank(torch.linalg.svdvals(total), d_out, d_in))
    return ranks
