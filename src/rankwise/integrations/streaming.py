"""Greedy text, word by word, to a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from rankwise.engine.generate import _plain, stop_ids
from rankwise.models import Base


def stream(base: Base, prompt: Sequence[int], show: Callable[[str], None], *, max_new_tokens: int) -> str:
    """Continue ``prompt`` with the likeliest token, calling ``show`` with each finished piece of text.

    The same text as :func:`rankwise.engine.generate.greedy` gives.
    """
    from transformers import GenerationConfig, TextStreamer

    said: list[str] = []

    class Pieces(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            said.append(text)
            show(text)

    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=max_new_tokens,
        eos_token_id=stop_ids(base) or None,
        pad_token_id=base.tokenizer.pad_token_id,
    )
    pieces: Any = Pieces(base.tokenizer, skip_prompt=True, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    ids = torch.tensor([list(prompt)], device=next(base.model.parameters()).device)
    with torch.no_grad(), _plain(base.model):
        base.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings, streamer=pieces
        )
    return "".join(said)
