"""Shifted sparse attention (arXiv 2309.12307) against the paper's own form: roll, attend in groups, roll back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from rankwise.adapters.events import ShiftedAttention
from rankwise.adapters.events.shifted_attention import ShiftedGroups
from rankwise.engine import Forward
from rankwise.engine.attention.pattern import blocks, patterned
from rankwise.engine.fast import attention
from rankwise.engine.fast.layout import lay_out
from rankwise.engine.fast.pieces import attend_pieces
from rankwise.errors import UsageError
from rankwise.models.attention_pattern import WHOLE, AttentionPattern, Kind
from tests.engine.fast.models import KINDS, batch, model

pytestmark = pytest.mark.exactness


def rand(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grouped(lengths, group, seed=0):
    return replace(batch(lengths, seed), attention=WHOLE if group is None else ShiftedGroups(group))


def seen(length, group, moved):
    """Which keys (columns) a query (row) of one head sees: token by token, as the figure in the paper."""
    mask = torch.zeros(length, length, dtype=torch.bool)
    for query in range(length):
        for key in range(query + 1):
            shift = group // 2 if moved else 0
            mask[query, key] = (query + shift) // group == (key + shift) // group
    return mask


def rolled(q, k, v, group, wraps):
    """The paper's algorithm over (heads, N, D), G divides N; ``wraps`` leaves the last group as the roll has it."""
    heads, length, width = q.shape
    half, count = heads // 2, length // group

    def shift(x):
        x = torch.cat([x[:half], x[half:].roll(-(group // 2), 1)])
        return x.reshape(heads, count, group, width)

    mask = torch.ones(group, group, dtype=torch.bool).tril().expand(heads, count, group, group).clone()
    if not wraps:
        mask[half:, -1, group // 2 :, : group // 2] = False
    out = scaled_dot_product_attention(shift(q), shift(k), shift(v), attn_mask=mask, scale=0.3)
    out = out.reshape(heads, length, width)
    return torch.cat([out[:half], out[half:].roll(group // 2, 1)])


def ours(q, k, v, group):
    """Of one sequence, heads first."""
    layout = lay_out([grouped((q.shape[1],), group)])
    rows = (x.transpose(0, 1) for x in (q, k, v))
    return attend_pieces(*rows, layout, 0.3, None, None).transpose(0, 1)


@pytest.mark.parametrize("heads", [2, 4, 5])
def test_it_is_the_papers_roll_with_the_last_group_cut_where_it_wraps(heads):
    q, k, v = (rand(heads, 24, 5, seed=i) for i in range(3))
    mine = ours(q, k, v, 8)
    torch.testing.assert_close(mine, rolled(q, k, v, 8, wraps=False), atol=1e-12, rtol=0)
    # Left to wrap, the first half-group of the moved heads reads the end of the sequence; the rest is the same.
    leaks = rolled(q, k, v, 8, wraps=True)
    differs = (mine - leaks).abs().amax(-1) > 1e-6
    assert differs[heads // 2 :, :4].all()
    assert not differs[: heads // 2].any()
    assert not differs[:, 4:].any()


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (6, 2), (9, 3), (5, 1)], ids=str)
@pytest.mark.parametrize("keep", [512, 4])
def test_any_lengths_any_heads_and_its_gradient(heads, window, keep, monkeypatch):
    """Sequences that G does not divide, shorter ones, one of a single token; grouped queries that the halves share."""
    monkeypatch.setattr(attention, "KEPT", keep)
    lengths, (many, few) = (19, 17, 16, 6, 3, 1), heads
    total = sum(lengths)
    q, k, v = (rand(total, n, 4, seed=n + i).requires_grad_() for i, n in enumerate((many, few, few)))
    layout = lay_out([grouped(lengths[:4], 8), grouped(lengths[4:], 4)])

    def mine(q, k, v):
        return attend_pieces(q, k, v, layout, 0.3, window, None)

    found, start = [], 0
    for n, group in zip(lengths, (8, 8, 8, 8, 4, 4), strict=True):
        at = torch.arange(n)
        near = at[None] > at[:, None] - (window or n)
        masks = [seen(n, group, moved=head >= many // 2) & near for head in range(many)]
        one = (x[start : start + n].transpose(0, 1)[None] for x in (q, k, v))
        stock = scaled_dot_product_attention(*one, attn_mask=torch.stack(masks)[None], scale=0.3, enable_gqa=True)
        found.append(stock[0].transpose(0, 1))
        start += n
    stock = torch.cat(found)
    torch.testing.assert_close(mine(q, k, v), stock, atol=1e-12, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(mine(q, k, v), stock, atol=1e-12, rtol=0)
    g = rand(*stock.shape, seed=7)
    theirs = torch.autograd.grad((stock * g).sum(), (q, k, v))
    for one, other in zip(torch.autograd.grad((mine(q, k, v) * g).sum(), (q, k, v)), theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)
    capped = attend_pieces(q, k, v, layout, 0.3, window, 0.5)
    assert not torch.allclose(capped, stock, atol=1e-3)


def test_a_group_as_long_as_the_sequence_is_full_attention_in_the_heads_that_stay():
    q, k, v = (rand(4, 12, 5, seed=i) for i in range(3))
    full = scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)
    torch.testing.assert_close(ours(q, k, v, 12)[:2], full[:2], atol=1e-12, rtol=0)
    assert not torch.allclose(ours(q, k, v, 12)[2:], full[2:], atol=1e-3)
    torch.testing.assert_close(ours(q, k, v, 24), full, atol=1e-12, rtol=0)


def test_a_token_reaches_its_group_and_nothing_behind_it():
    q, k, v = (rand(2, 20, 3, seed=i) for i in range(3))
    before = ours(q, k, v, 8)
    for token in range(20):
        other = v.clone()
        other[:, token] += 1
        changed = (ours(q, k, other, 8) - before).abs().amax(-1) > 0
        assert torch.equal(changed, torch.stack([seen(20, 8, moved)[:, token] for moved in (False, True)]))


def test_the_groups_of_both_halves():
    def cuts(length, group):
        return [kind.cut(length) for kind in ShiftedGroups(group).kinds]

    assert cuts(20, 8) == [[8, 8, 4], [4, 8, 8]]
    assert cuts(21, 8) == [[8, 8, 5], [4, 8, 8, 1]]
    assert cuts(4, 8) == [[4], [4]]
    assert cuts(5, 8) == [[5], [4, 1]]
    assert WHOLE.scores(20) == 400
    assert ShiftedGroups(8).scores(20) == (64 + 64 + 16 + 16 + 64 + 64) // 2
    assert WHOLE.scores(700, 512) == 512**2
    assert ShiftedGroups(1024).scores(1024, 512) == (512**2 + 2 * 512**2) // 2
    for length in range(1, 40):
        assert all(sum(kind) == length and min(kind) > 0 for kind in cuts(length, 6))
    assert [ShiftedGroups(8).heads(count) for count in (9, 14, 2)] == [(4, 5), (7, 7), (1, 1)]
    with pytest.raises(UsageError, match="needs 2 or more, found 1"):
        ShiftedGroups(8).heads(1)


@pytest.mark.parametrize("kind", KINDS)
def test_padded_passes_and_flat_ones_give_the_same(kind):
    """The whole model, with padding, windows and caps: two ways to compute one loss, in float64."""
    base = model(kind)
    flat, padded = Forward(base), Forward(base, flat=False)
    assert flat.layout == "flat", flat.notes
    before = base.config._attn_implementation
    one, whole = grouped((37, 30, 12, 5), 8), grouped((37, 30, 12, 5), None)
    with torch.no_grad():
        mine, stock, full = flat.nll(one), padded.nll(one), flat.nll(whole)
        padded.maskless = not padded.maskless
        masked = padded.nll(one)
    torch.testing.assert_close(mine, stock, atol=1e-6, rtol=0)  # some norms and rotary tables are float32 in any case
    torch.testing.assert_close(masked, stock, atol=1e-6, rtol=0)
    # Tokens of a first half-group see what they always saw; the others do not.
    differs = (mine - full).abs() > 1e-5
    first = torch.cat([torch.arange(3, n) <= 4 for n in (37, 30, 12, 5)])
    assert not differs[first].any()
    assert differs[~first].float().mean() > 0.9
    assert base.config._attn_implementation == before


@dataclass(frozen=True)
class Mixed(AttentionPattern):
    """One head as the model has it, one in groups, the others in groups of another size that hide some keys."""

    @property
    def kinds(self):
        return Kind(), Kind(8, first=3), Kind(7)

    def heads(self, count):
        return [1, 1, count - 2]

    def hidden(self, kind, size):
        at = torch.arange(size)
        return (at[:, None] - at[None, :]) % 3 == 1 if kind == 2 else None


@pytest.mark.parametrize("kind", KINDS)
def test_a_pattern_of_any_kinds_is_one_pattern_flat_and_padded(kind):
    base = model(kind)
    flat, padded = Forward(base), Forward(base, flat=False)
    one = replace(batch((37, 30, 12, 5)), attention=Mixed())
    with torch.no_grad():
        mine, stock, full = flat.nll(one), padded.nll(one), flat.nll(batch((37, 30, 12, 5)))
    torch.testing.assert_close(mine, stock, atol=1e-6, rtol=0)
    assert not torch.allclose(mine, full, atol=1e-4)
    assert Mixed().scores(20) == (20**2 + (9 + 64 + 64 + 1) + (49 + 49 + 36)) // 3


def test_blocks_of_a_padded_pass():
    q, k, v = (rand(2, 3, 21, 4, seed=i) for i in range(3))
    mask = torch.zeros(2, 1, 21, 21).masked_fill_(torch.ones(21, 21).triu(1).bool(), torch.finfo(torch.float32).min)
    for first, moved in ((8, False), (4, True)):
        found = blocks(q, k, v, mask, first, 8, 0.3, None)
        stock = scaled_dot_product_attention(q, k, v, attn_mask=seen(21, 8, moved), scale=0.3)
        torch.testing.assert_close(found, stock, atol=1e-12, rtol=0)


def test_nothing_is_left_behind_and_what_cannot_be_cut_is_refused():
    base = model("llama")
    before = base.config._attn_implementation
    inside = []

    def breaks():
        with patterned(base, ShiftedGroups(8)):
            inside.append(base.config._attn_implementation)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        breaks()
    assert inside != [before] == [base.config._attn_implementation]
    plain = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match="not go through transformers' registry"), patterned(plain, ShiftedGroups(8)):
        pass
    for wrong, said in ((7, "must be even"), (0, "at least 2"), (True, "at least 2"), (8.0, "at least 2")):
        with pytest.raises(UsageError, match=said):
            ShiftedAttention(wrong)
