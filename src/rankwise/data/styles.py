"""How a question, a worked solution and an answer become one chat example."""

from __future__ import annotations

from rankwise.data.examples import CompletionStyle, Example, Message


def completion(explanation: str, answer: str, style: CompletionStyle) -> str:
    """Join a worked solution and its answer.

    ``hashes`` is GSM8K's form, ``explanation\\n#### answer``. ``think`` is that of scale ``tutorial``,
    ``<think>\\nexplanation\\n</think>\\nanswer``.
    """
    if style == "think":
        return f"<think>\n{explanation}\n</think>\n{answer}"
    return f"{explanation}\n#### {answer}"


def question_example(question: str, reply: str, system: str | None = None) -> Example:
    """One user turn and one assistant turn, after an optional system message."""
    opening = () if system is None else (Message("system", system),)
    return Example((*opening, Message("user", question), Message("assistant", reply)))
