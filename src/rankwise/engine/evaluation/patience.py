"""What a person hears of a long decoding: how far it is and how long it may still take, now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

EVERY = 10.0  # seconds between two sentences
LONG = 2_000  # tokens of a prompt that takes a while to read


class Patience:
    """Tells how a decoding gets on; it decides nothing and changes no bit.

    Args:
        tell: hears the sentences.
        prompts: how many there are.
        most: new tokens of each, at most.
    """

    def __init__(self, tell: Callable[[str], None], prompts: int, most: int) -> None:
        self.tell, self.prompts, self.most = tell, prompts, most
        self.started = self.said = time.monotonic()
        self.done = self.now = self.tokens = 0

    def begin(self, prompts: int, width: int) -> None:
        """Begin a pass of so many prompts, the longest of ``width`` tokens."""
        self.done, self.now, self.tokens = self.done + self.now, prompts, 0
        if width > LONG:
            self.tell(f"Reading {_prompts(prompts)} of up to {width:,} tokens; the first word comes after that.")

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Take one more token for every prompt of the pass (a stopping criterion of transformers that never stops)."""
        self.tokens += 1
        if (now := time.monotonic()) - self.said > EVERY:
            self.said = now
            whole = self.prompts / max(self.done + self.now * self.tokens / self.most, 1e-9)
            rest = (now - self.started) * (whole - 1)
            self.tell(
                f"{self.done:,} of {_prompts(self.prompts)} answered, {self.tokens:,} of at most {self.most:,} "
                f"tokens of the next {self.now:,}; {_time(rest)} left at most"
            )
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def _prompts(count: int) -> str:
    return f"{count:,} prompt" + ("" if count == 1 else "s")


def _time(seconds: float) -> str:
    """About how long.

    >>> _time(20), _time(600), _time(90_000), _time(1e12)
    ('20 s', '10 min', '25 h', 'over a year')
    """
    for most, unit, name in ((90, 1, "s"), (5_400, 60, "min"), (360_000, 3_600, "h"), (31e6, 86_400, "days")):
        if seconds < most:
            return f"{seconds / unit:.0f} {name}"
    return "over a year"
