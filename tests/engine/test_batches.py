"""Windows, passes and padding are pure functions of the spec and the lengths."""

import torch

from rankwise.data import Encoded
from rankwise.engine import TrainSpec
from rankwise.engine.batches import EVAL_TOKENS, collate, evaluation_passes, passes, window
from rankwise.methods import lora


def example(length, targets):
    return Encoded(tuple(range(2, 2 + length)), tuple(i >= length - targets for i in range(length)))


def test_each_epoch_reads_everything_once_and_orders_differ():
    spec = TrainSpec(lora(), lr=1e-3, steps=99, batch=4, seed=5)
    epochs = [[i for step in range(3 * e, 3 * e + 3) for i in window(spec, 10, step)] for e in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert [len(window(spec, 10, step)) for step in range(4)] == [4, 4, 2, 4]


def test_order_depends_on_the_seed_alone():
    one, two = (TrainSpec(lora(rank=r), lr=lr, steps=9, seed=5) for r, lr in ((1, 1e-3), (64, 1e-2)))
    assert [window(one, 50, s) for s in range(9)] == [window(two, 50, s) for s in range(9)]
    other = TrainSpec(lora(), lr=1e-3, steps=9, seed=6)
    assert window(one, 50, 0) != window(other, 50, 0)
    assert window(TrainSpec(lora(), lr=1e-3, steps=9, shuffle=False), 50, 1) == list(range(8, 16))


def test_passes_are_sorted_by_length_and_keep_everything():
    train = [example(n, 2) for n in (5, 9, 7, 9, 3)]
    spec = TrainSpec(lora(), lr=1e-3, steps=1, batch=5, micro_batch=2)
    assert passes(spec, train, [0, 1, 2, 3, 4]) == [[1, 3], [2, 0], [4]]


def test_evaluation_passes_bound_padded_tokens():
    examples = [example(n, 1) for n in (10, 700, 30, 1500, 400, 20)]
    cut = evaluation_passes(examples)
    assert sorted(i for part in cut for i in part) == list(range(6))
    for part in cut:
        longest = max(len(examples[i].input_ids) for i in part)
        assert len(part) == 1 or longest * len(part) <= EVAL_TOKENS


def test_collate_finds_targets_by_position_even_when_pad_is_the_end_token():
    a, b = example(4, 2), Encoded((7, 0, 8, 0, 0), (False, False, False, True, True))  # 0 pads and is a real token
    batch = collate([a, b])
    assert batch.ids.tolist() == [[2, 3, 4, 5, 0], [7, 0, 8, 0, 0]]
    assert batch.attention_mask.sum(1).tolist() == [4, 5]
    assert batch.next_ids.tolist() == [4, 5, 0, 0]
    assert torch.equal(batch.columns, torch.tensor([1, 2, 2, 3]))
    assert batch.counts == [2, 2]
