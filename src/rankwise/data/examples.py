"""What the data room hands to everyone else: messages, examples, their tokens, and three splits."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rankwise.data.bad_rows import STRICT, Skipping
from rankwise.data.unicode import composed

if TYPE_CHECKING:
    from rankwise.data.input_form import InputForm

CompletionStyle = Literal["hashes", "think"]


@dataclass(frozen=True)
class Message:
    """One turn.

    Attributes:
        learn: False for an assistant turn that is read and not trained on: one of a prompt, or marked so.
        more: the turn's other keys (tool calls, reasoning, a name) as a JSON object for the chat template, or "".
    """

    role: str
    content: str
    learn: bool = True
    more: str = ""

    @property
    def turn(self) -> dict[str, Any]:
        """The turn as a chat template gets it."""
        return {"role": self.role, "content": self.content, **(json.loads(self.more) if self.more else {})}


@dataclass(frozen=True)
class Example:
    """One training or test item before tokenization. Loss falls on assistant messages only.

    With ``chat=False`` the two messages (user, assistant) are a plain prompt and its completion, no template.
    ``tools`` are the functions that a model may call, as a JSON list for the chat template; "" for none.
    """

    messages: tuple[Message, ...]
    chat: bool = True
    tools: str = ""

    @property
    def text(self) -> str:
        """Canonical text: two examples are duplicates exactly when their texts are equal (see :func:`composed`)."""
        turns = [[m.role, composed(m.content), *([composed(m.more)] if m.more else [])] for m in self.messages]
        return json.dumps([self.chat, turns, *([composed(self.tools)] if self.tools else [])], ensure_ascii=False)


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example and, per position, whether that token is trained on.

    Targets are marked by position, never by pad id (SmolLM2 pads with its end-of-turn token). Position 0 has
    nothing before it to be predicted from, so it is never a target.
    """

    input_ids: tuple[int, ...]
    target_mask: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.input_ids) != len(self.target_mask):
            raise ValueError(f"{len(self.input_ids)} token ids but a mask of {len(self.target_mask)}")
        if self.target_mask and self.target_mask[0]:
            raise ValueError("position 0 cannot be a target: nothing precedes it")

    @property
    def targets(self) -> int:
        """Number of tokens trained on."""
        return sum(self.target_mask)


@dataclass(frozen=True)
class Limits:
    """At most this many examples per split. ``None`` is all of a file; generated data need a number."""

    train: int | None = 256
    selection: int | None = 48
    test: int | None = 96


@dataclass(frozen=True)
class ExampleSplits:
    """Three splits before tokenization, with what a reader of the report should know about them.

    Attributes:
        form: shape of the source's rows ("svamp", "messages"), or "generated".
        unread: columns of the source that are not used.
        leaked: examples removed from train and selection because a held-out split has them too.
        unseen: labels of a classification's test split that no training row has, where nobody listed the options.
        skip: whether examples that cannot be written out are left out.
    """

    train: tuple[Example, ...]
    selection: tuple[Example, ...]
    test: tuple[Example, ...]
    notes: tuple[str, ...] = ()
    form: str = "generated"
    unread: tuple[str, ...] = ()
    leaked: int = 0
    unseen: tuple[str, ...] = ()
    skip: Skipping = field(default=STRICT, compare=False)


@dataclass(frozen=True)
class Splits:
    """Three tokenized splits: train; selection (learning rates, early stopping); test, which is read once.

    ``fingerprint`` is the SHA-256 of all ids and masks; ``unseen`` as in :class:`ExampleSplits`; ``form`` is how the
    training examples are written, None when they are not written alike.
    """

    train: tuple[Encoded, ...]
    selection: tuple[Encoded, ...]
    test: tuple[Encoded, ...]
    name: str
    notes: tuple[str, ...]
    fingerprint: str
    unseen: tuple[str, ...] = ()
    form: InputForm | None = None
