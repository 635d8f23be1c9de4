"""How the examples of a training set are written: as conversations or as plain text, and under which system message.

It is saved beside the adapter (:mod:`rankwise.models.beside`), because text written otherwise is other text to it: a
line break that training did not have changes the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rankwise.data.examples import CompletionStyle, Example, ExampleSplits, Message


@dataclass(frozen=True)
class InputForm:
    """What all training examples have in common.

    Attributes:
        chat: conversations, by the chat template where there is one; else prompt and completion with nothing between.
        system: the one system message that all of them begin with.
        completion_style: how worked solutions are written.
    """

    chat: bool
    system: str | None = None
    completion_style: CompletionStyle = "hashes"


def form_of(examples: Sequence[Example], completion_style: CompletionStyle) -> InputForm | None:
    """Return the form of all ``examples``; None when some are conversations and some are not."""
    chats = {example.chat for example in examples}
    if len(chats) != 1:
        return None
    systems = {opening.content if (opening := example.messages[0]).role == "system" else None for example in examples}
    return InputForm(chats.pop(), systems.pop() if len(systems) == 1 else None, completion_style)


def common_form(forms: Iterable[InputForm | None]) -> InputForm | None:
    """Return what several sets of training data have in common; None where that is not even chat or plain text."""
    found = set(forms)
    if None in found or len({(form.chat, form.completion_style) for form in found if form}) != 1:
        return None
    one = next(form for form in found if form)
    return one if len(found) == 1 else replace(one, system=None)


def asked_in(form: InputForm | None, text: str, system: str | None = None) -> Example:
    """Return ``text`` as training data of ``form`` had their prompts; as a conversation's when None.

    Args:
        system: in place of the system message of the training data.
    """
    if form is not None and not form.chat:
        return Example((Message("user", text),), chat=False)
    system = form.system if form is not None and system is None else system
    opening = (Message("system", system),) if system is not None else ()
    return Example((*opening, Message("user", text)))


def written_in(examples: ExampleSplits, form: InputForm) -> ExampleSplits:
    """Return ``examples`` in ``form`` where that changes no word: a prompt and its reply, and conversations that lack
    the system message. What changed of the test split, and what could not be changed, is added to the notes.
    """
    changed = left = 0

    def one(example: Example) -> Example:
        nonlocal changed, left
        new = example
        if new.chat != form.chat:
            if [message.role for message in new.messages] != ["user", "assistant"] or new.tools:
                left += 1
                return example
            new = replace(new, chat=form.chat)
        if form.chat and form.system is not None and new.messages[0].role != "system":
            new = replace(new, messages=(Message("system", form.system), *new.messages))
        changed += new != example
        return new

    train, selection = (tuple(map(one, split)) for split in (examples.train, examples.selection))
    changed = left = 0
    test = tuple(map(one, examples.test))
    name = "conversations" if form.chat else "plain prompt and completion"
    notes = []
    if changed:
        system = " with its system message" if form.chat and form.system is not None else ""
        notes.append(f"{changed} examples are written as the adapter's training data were: {name}{system}")
    if left:
        notes.append(
            f"{left} examples stay in another form than the adapter's training data, which were {name}: they have "
            "more turns than a prompt and a reply"
        )
    return replace(examples, train=train, selection=selection, test=test, notes=(*examples.notes, *notes))
