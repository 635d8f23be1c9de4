"""Greedy text, word by word, to a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from rankwise.engine.evaluation.generate import _plain, check_prompts, decoding
from rankwise.models import Base


def stream(base: Base, prompt: Sequence[int], show: Callable[[str], None], *, max_new_tokens: int) -> str:
    """Continue ``prompt`` with the likeliest token, calling ``show`` with each finished piece of text.

    The same text as :func:`rankwise.engine.evaluation.generate.greedy` gives, and the same refusals.
    """
    from transformers import TextStreamer

    check_prompts(base, [prompt], max_new_tokens)
    said: list[str] = []

    settings = decoding(base, max_new_tokens)
    stops = settings.eos_token_id or []

    class Pieces(TextStreamer):
        def put(self, value: Any) -> None:
            if self.next_tokens_are_prompt or int(value) not in stops:
                super().put(value)

        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            said.append(text)
            show(text)

    pieces: Any = Pieces(base.tokenizer, skip_prompt=True, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    ids = torch.tensor([list(prompt)], device=next(base.model.parameters()).device)
    with torch.no_grad(), _plain(base.model):
        base.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=settings,
            streamer=pieces,
        )
    return "".join(said)
