"""Plain prompts and completions are joined with nothing between: what that does at the boundary.

Two words become one ("Answer" + "yes" is "Answeryes"), or the tokenizer joins the prompt's last space with the
completion's first word, and then a prompt alone, as a model gets it to answer, ends in another token than it learned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rankwise.data.examples import Example
from rankwise.data.render import encode, prompt_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MANY = 0.05  # a share that deserves a warning
# Letters and digits of scripts that put spaces between words: not Thai to Lao, Burmese, Khmer, Chinese or Japanese.
_SPACED = re.compile(r"[^\W_\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u2E80-\uABFF\uF900-\uFAFF\uFF00-\U0003FFFF]")


def about_boundaries(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return a sentence when words merge, or tokens do, in more than a few of the plain ``examples``."""
    plain = [e for e in examples if not e.chat and e.messages[-1].content.strip()]
    merged = [e for e in plain if _SPACED.match(_left(e)[-1:]) and _SPACED.match(_right(e))]
    if len(merged) > MANY * len(plain):
        word = f"{_left(merged[0]).split()[-1][-20:]}{_right(merged[0]).split()[0][:20]}"
        return [
            "prompt and completion are joined with nothing between, so that two words become one in "
            f"{len(merged):,} of {len(plain):,} training examples ({word!r}); end prompts with a line break, or begin "
            "completions with a space"
        ]
    joined = [e for e in plain if _joins_tokens(e, tokenizer)]
    if len(joined) > MANY * len(plain):
        return [
            f"in {len(joined):,} of {len(plain):,} training examples a token reaches from the prompt into the "
            f"completion ({_left(joined[0])[-8:]!r} + {_right(joined[0])[:8]!r}), so that a prompt alone ends in other "
            "tokens than those trained on; end prompts without a space, and begin completions with one"
        ]
    return []


def _left(example: Example) -> str:
    return example.messages[0].content


def _right(example: Example) -> str:
    return example.messages[-1].content


def _joins_tokens(example: Example, tokenizer: PreTrainedTokenizerBase) -> bool:
    whole = encode(example, tokenizer)
    alone = tuple(prompt_ids(example.messages[:1], tokenizer, chat=False))
    return whole is not None and whole.input_ids[: len(alone)] != alone
