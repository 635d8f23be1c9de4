"""Right and wrong answers of a run: at its best checkpoint, the same after a resume, absent in older results."""

from dataclasses import replace

import torch

from rankwise.adapters import Full
from rankwise.data import Example, Message, Splits
from rankwise.data.answers import is_right
from rankwise.data.render import encode
from rankwise.engine import RunResult, TrainSpec, make_quiz, train
from rankwise.engine.evaluation.generate import greedy, prompt_of
from rankwise.methods import lora
from rankwise.models import load_base


def chat(question, reply):
    return Example((Message("user", question), Message("assistant", reply)))


def splits_of(tokenizer):
    pairs = [("a?", "7"), ("b?", "long " * 60), ("c?", "8"), ("d?", "7"), ("e?", "9")]
    examples = tuple(encode(chat(*pair), tokenizer) for pair in pairs)
    return Splits(examples, examples[:2], examples, "toy", (), "x")


def test_the_first_questions_with_a_short_answer_make_the_quiz(tiny_base):
    splits = splits_of(tiny_base.tokenizer)
    quiz = make_quiz(splits.test, tiny_base.tokenizer, 3)
    assert quiz.places == (0, 2, 3)
    assert [gold.text for gold in quiz.golds] == ["7", "8", "7"]
    assert quiz.commonest == 2 / 3
    assert quiz.max_new_tokens == 3 + 8  # "7" and the end of turn, half as much again, and 8
    assert make_quiz(splits.test[1:2], tiny_base.tokenizer, 3) is None
    replies = greedy(tiny_base, quiz.prompts, max_new_tokens=quiz.max_new_tokens)
    assert quiz.take(tiny_base) == tuple(is_right(r, g) for r, g in zip(replies, quiz.golds, strict=True))


def test_a_run_learns_the_answers_and_older_results_still_read(tiny_base, tmp_path):
    splits = splits_of(tiny_base.tokenizer)
    short = replace(splits, train=splits.train[:1], selection=splits.train[:1], test=splits.train[:1])
    quiz = make_quiz(short.test, tiny_base.tokenizer, 4)
    for target, rate in ((lora(rank=8), 3e-2), (Full(), 3e-3)):
        spec = TrainSpec(target, lr=rate, steps=40, batch=1, eval_steps=(10, 20, 40))
        result = train(tiny_base, spec, short, test=True, quiz=quiz)
        assert result.right == (True,), target
        stored = result.to_dict()
        assert RunResult.from_dict(stored) == result
        del stored["right"]
        assert RunResult.from_dict(stored).right is None
    base = load_base("tiny", dtype=torch.float32)
    prompts = [prompt_of(short.test[0])]
    assert greedy(base, prompts, max_new_tokens=4) == greedy(
        tiny_base, prompts, max_new_tokens=4
    )  # the base is as before
