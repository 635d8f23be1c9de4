"""Chat templates are programs from elsewhere: they run for a bounded time, in bounded memory, and end in a sentence.

Transformers runs them in Jinja's sandbox, which keeps them from files and Python's insides, not from endless loops or
from a string of ten billion letters. Here the same sandbox counts: every turn of a loop and every call looks at the
clock of the processor, and whatever makes a longer text (products, sums, joined parts, widths, formats) is measured
before it is made. What a template writes within the limits does not change.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from jinja2.compiler import Frame
    from transformers import PreTrainedTokenizerBase

SECONDS = 5.0  # of the processor, for one conversation; templates take milliseconds
CHARACTERS = 64 * 2**20  # of a conversation as written
LENGTH = 10_000_000  # of a product: letters or items
BITS = 100_000  # of a whole number
WIDE = re.compile(r"[%:][^a-zA-Z%{}]*?(\d{8,}|\*)")  # in a format: a width above LENGTH, or one among the values
WIDENING = ("center", "ljust", "rjust", "zfill", "expandtabs", "indent")  # methods and filters that take a width
GROWING = ("center", "format", "indent", "replace")  # filters whose result may be far longer than the text
_endless: set[str] = set()  # templates that took too long; another row would wait as long again


class _Counting(CodeGenerator):
    """Jinja's compiler, with a look at the clock in every turn of a loop."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        look = nodes.Call(nodes.EnvironmentAttribute("look"), [], [], None, None, lineno=node.lineno)
        node.body.insert(0, nodes.ExprStmt(look, lineno=node.lineno))
        if node.test is not None:
            node.test = nodes.And(look, node.test, lineno=node.lineno)
        super().visit_For(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Limited(ImmutableSandboxedEnvironment):
    """The sandbox of transformers, with limits."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})
    code_generator_class = _Counting
    until = float("inf")  # of the thread's processor time

    def look(self) -> bool:
        """Return True, or raise when the time is over."""
        if time.thread_time() > _Limited.until:
            raise TimeoutError(f"it takes more than {SECONDS:.0f} s")
        return True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in GROWING:
            self.filters[name] = _measured(name, self.filters[name])

    def joined(self, parts: tuple[Any, ...]) -> str:
        """Join what ``~`` joins."""
        texts = [str(part) for part in parts]
        _check_length(sum(map(len, texts)))
        return "".join(texts)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (as in Jinja)
        __self.look()
        if isinstance(text := getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None), str):
            _check_growth(getattr(__obj, "__name__", ""), text, (*args, *kwargs.values()))
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply or raise to a power what stays small."""
        for one, other in ((left, right), (right, left)):
            if operator == "*" and isinstance(one, int) and hasattr(other, "__len__"):
                _check_length(one * len(other))
        if operator == "+" and hasattr(left, "__len__") and hasattr(right, "__len__"):
            _check_length(len(left) + len(right))
        if operator == "%" and isinstance(left, str):
            _check_growth("format", left, ())
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * max(right, 1) if operator == "**" else left.bit_length() + right.bit_length()
            if bits > BITS:
                raise OverflowError(f"it makes a number of more than {BITS:,} bits")
        return super().call_binop(context, operator, left, right)


def _check_length(length: int) -> None:
    if length > LENGTH:
        raise OverflowError(f"it makes a text or list of {length:,} parts")


def _check_growth(how: str, text: str, values: tuple[Any, ...]) -> None:
    """Check what the method or filter ``how`` would make of ``text``; most make nothing longer."""
    if how in WIDENING:
        for value in values:
            if isinstance(value, int):
                _check_length(value)
    elif how == "replace" and len(values) >= 2 and all(isinstance(value, str) for value in values[:2]):
        _check_length(len(text) + text.count(values[0]) * len(values[1]))
    elif how in ("format", "format_map") and (wide := WIDE.search(text)):
        raise OverflowError(f"it formats with a width of {wide[1]!r}")


def _measured(how: str, made: Any) -> Any:
    """Return the filter ``how``, which checks what it would make of its first text before it acts."""

    @functools.wraps(made)
    def checked(*args: Any, **kwargs: Any) -> Any:
        place = next((n for n, value in enumerate(args) if isinstance(value, str)), None)  # a context may come before
        if place is not None:
            _check_growth(how, args[place], (*args[place + 1 :], *kwargs.values()))
        return made(*args, **kwargs)

    return checked


def write_turns(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, Any]], **given: Any) -> str:
    """Return a conversation as the chat template writes it; one at a time.

    Args:
        given: what else the template gets.

    Raises:
        jinja2.TemplateError: whatever went wrong in the template, or it takes too long or too much memory.
    """
    key = str(tokenizer.chat_template)
    if key in _endless:
        raise jinja2.TemplateError(f"it takes more than {SECONDS:.0f} s")
    try:
        with _limits():
            text = str(tokenizer.apply_chat_template(turns, tokenize=False, **given))
    except jinja2.TemplateError:
        raise
    except TimeoutError as error:
        _endless.add(key)
        raise jinja2.TemplateError(str(error)) from None
    except RecursionError:
        raise jinja2.TemplateError("it calls itself without end") from None
    except Exception as error:  # templates are programs, and fail as programs do
        raise jinja2.TemplateError(f"{type(error).__name__}: {error}") from error
    if len(text) > CHARACTERS:
        raise jinja2.TemplateError(f"it writes {len(text):,} characters")
    return text


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    from transformers.utils import chat_template_utils

    names = vars(chat_template_utils)
    own = names["_compile_jinja_template"]
    names["_compile_jinja_template"] = _compiled
    _Limited.until = time.thread_time() + SECONDS
    try:
        yield
    finally:
        _Limited.until = float("inf")
        names["_compile_jinja_template"] = own


@functools.lru_cache
def _compiled(template: str) -> jinja2.Template:
    """Compile as transformers does, with its functions, in our sandbox."""
    from transformers.utils import chat_template_utils

    names = vars(chat_template_utils)
    own = names["ImmutableSandboxedEnvironment"]
    names["ImmutableSandboxedEnvironment"] = _Limited
    try:
        made: jinja2.Template = names["_cached_compile_jinja_template"](template)
        return made
    finally:
        names["ImmutableSandboxedEnvironment"] = own
