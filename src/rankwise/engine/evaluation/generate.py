"""Greedy decoding in batches, by transformers' own ``generate``: same prompts, same base, same texts.

Nothing of the model's own generation settings takes part (many checkpoints ship sampling or a repetition penalty,
which would be another decoder); they are put back afterwards, as is the mode of every module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from rankwise.data import Encoded
from rankwise.data.ends import end_ids
from rankwise.engine.evaluation.patience import Patience
from rankwise.errors import UsageError
from rankwise.models import Base, check_rows, rows_of


def prompt_of(example: Encoded) -> tuple[int, ...]:
    """Return the token ids before the first target: what a model is shown when it must answer."""
    return example.input_ids[: example.target_mask.index(True)]


def stop_ids(base: Base) -> list[int]:
    """Return the ids that end an answer: those that end a reply in training, and those of the model's own settings."""
    return sorted({*end_ids(base.tokenizer), *_stated(base)})


def taught_ends(base: Base) -> list[int]:
    """Return the ends that neither the tokenizer's end of sequence nor the model's settings name: the template's."""
    return sorted({*end_ids(base.tokenizer)} - {base.tokenizer.eos_token_id, *_stated(base)})


def _stated(base: Base) -> list[int]:
    own = getattr(getattr(base.model, "generation_config", None), "eos_token_id", None)
    named = [] if own is None else list(own) if isinstance(own, (list, tuple)) else [own]
    if wrong := [one for one in named if not isinstance(one, int)]:
        raise UsageError(
            f"the generation settings of {base.name} end a reply at eos_token_id {wrong[0]!r}, and a token's id is a "
            "whole number; correct generation_config.json"
        )
    return named


def greedy(
    base: Base,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch: int = 16,
    tell: Callable[[str], None] | None = None,
) -> list[str]:
    """Continue every prompt with the likeliest token, until a stop token or ``max_new_tokens``.

    Adapters attached to ``base.model`` act, with their dropout off. Prompts are padded on the left in passes of
    ``batch``, longest first, so call it outside ``rankwise.mixed``.

    Args:
        base: model and tokenizer; a full fine-tuned copy goes in as ``dataclasses.replace(base, model=copy)``.
        prompts: token ids, at least one each; of an example by :func:`prompt_of`, of a text by
            :func:`rankwise.data.render.prompt_ids`.
        tell: hears now and then how far it is.

    Returns:
        The continuations alone, as text without special tokens, in the order of ``prompts``.

    Raises:
        UsageError: a model that cannot generate, an empty prompt, or one too long for the model's positions.
    """
    check_prompts(base, prompts, max_new_tokens, batch)
    settings = decoding(base, max_new_tokens)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)  # stable, so deterministic
    texts = [""] * len(prompts)
    patience = Patience(tell, len(prompts), max_new_tokens) if tell else None
    with torch.no_grad(), _plain(base.model):
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            for i, new in zip(rows, _continue(base, [prompts[i] for i in rows], settings, patience), strict=True):
                texts[i] = base.tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return texts


def _continue(base: Base, prompts: list[Sequence[int]], settings: Any, patience: Patience | None) -> list[list[int]]:
    """Return the new ids of one pass, each cut before its first stop token."""
    pad = settings.pad_token_id
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    device = next(base.model.parameters()).device
    if patience is not None:
        patience.begin(len(prompts), width)
    out = base.model.generate(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        generation_config=settings,
        stopping_criteria=[patience] if patience else None,
    )
    return [_until(row, settings.eos_token_id or []) for row in out[:, width:].tolist()]


def decoding(base: Base, most: int) -> Any:
    """Return transformers' settings of greedy decoding, ``most`` new tokens at most.

    Padding is masked; a pad token that the embedding has no row for, or none at all, becomes token 0.
    """
    from transformers import GenerationConfig

    pad = base.tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=most,
        eos_token_id=stop_ids(base) or None,
        pad_token_id=pad if pad is not None and pad < rows_of(base.model) else 0,
    )


def _until(ids: list[int], stops: list[int]) -> list[int]:
    end = next((n for n, i in enumerate(ids) if i in stops), len(ids))
    return ids[:end]


@contextlib.contextmanager
def _plain(model: Any) -> Iterator[None]:
    """Evaluation mode and empty generation settings inside the block; afterwards everything as it was."""
    from transformers import GenerationConfig

    training = [module for module in model.modules() if module.training]
    own = model.generation_config
    model.eval()
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
        for module in training:
            module.training = True


def check_prompts(base: Base, prompts: Sequence[Sequence[int]], max_new_tokens: int, batch: int = 1) -> None:
    """Raise UsageError for what :func:`greedy` refuses."""
    if not hasattr(base.model, "generate"):
        raise UsageError(f"{type(base.model).__name__} has no generate(); use a transformers causal language model.")
    for name, value in (("max_new_tokens", max_new_tokens), ("batch", batch)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, found {value}.")
    empty = [n for n, prompt in enumerate(prompts) if not len(prompt)]
    if empty:
        raise UsageError(
            f"prompt {empty[0] + 1} of {len(prompts)} has no tokens; give it at least one word, or leave out a chat "
            "template that writes nothing of it (--raw)."
        )
    longest = max((len(prompt) for prompt in prompts), default=0)
    if base.room is not None and longest + max_new_tokens > base.room:
        raise UsageError(
            f"a prompt of {longest:,} tokens and {max_new_tokens:,} new ones do not fit into the {base.room:,} "
            f"positions of {base.name}; shorten the prompt or lower max_new_tokens."
        )
    check_rows(base, prompts, "the prompt")
