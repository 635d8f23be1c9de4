"""How large a regular expression grows when its counts are written out, found without compiling it.

``a{999999999}`` has twelve characters and takes gigabytes to compile. Counts inside each other multiply.
"""

from __future__ import annotations

import re

MOST = 9_999  # one count; names of modules are shorter
_COUNT = re.compile(r"\{(?:(\d+)(?:,(\d*))?|,(\d+))\}", re.ASCII)  # {3}, {3,}, {3,5}, {,5}; other braces are text
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)  # a bracket that comes first is one of its characters
_COMMENT = re.compile(r"\(\?#[^)]*\)")
_VERBOSE = re.compile(
    r"(?<!\\)\(\?[a-zA-Z0-9-]*x"
)  # comments to the end of a line: what looks like a class may be none


def largest_count(text: str) -> int:
    """Return the largest count of a pattern (of any digits: at most MOST + 1 is said).

    >>> largest_count("a{2}b{3,40}"), largest_count("[{9}]"), largest_count("a{99999999999}")
    (40, 1, 10000)
    """
    return max((_value(found) for found in _tokens(text) if isinstance(found, re.Match)), default=1)


def size(text: str) -> int:
    """Return how many characters, classes and groups a pattern has when its counts are written out.

    >>> size("ab{3}"), size("(ab){3}"), size("((a{10}){10}){10}")
    (4, 9, 1110)
    """
    if _VERBOSE.search(text):  # at most: everything repeated by every count there is
        product = len(text)
        for count in _COUNT.finditer("".join(text.split())):
            product *= _value(count)
        return product
    outer: list[int] = []  # of the groups around, what came before in each
    total = last = 0
    for found in _tokens(text):
        if isinstance(found, re.Match):
            total, last = total + last * (_value(found) - 1), last * _value(found)
        elif found == "(":
            outer.append(total)
            total, last = 0, 1
        elif found == ")" and outer:
            last = total + 1
            total = outer.pop() + last
        else:
            total, last = total + 1, 1
    return sum(outer, total)


def _tokens(text: str) -> list[str | re.Match[str]]:
    """Cut a pattern into characters, escapes, classes (as "[]") and its counts; a verbose one into its counts."""
    if _VERBOSE.search(text):  # white space means nothing there, in a count neither
        return list(_COUNT.finditer("".join(text.split())))
    found: list[str | re.Match[str]] = []
    at, last = 0, text.rfind("]")  # without an end a bracket is refused when it is compiled
    while at < len(text):
        if text[at] == "{" and (count := _COUNT.match(text, at)):
            found.append(count)
            at = count.end()
        elif text[at] == "\\":
            found.append(text[at : at + 2])
            at += 2
        elif text[at] == "[" and at < last and (inside := _CLASS.match(text, at)):
            found.append("[]")
            at = inside.end()
        elif text[at] == "(" and (comment := _COMMENT.match(text, at)):
            at = comment.end()
        else:
            found.append(text[at])
            at += 1
    return found


def _value(count: re.Match[str]) -> int:
    """Return the larger number of a count, at least 1."""
    digits = [part.lstrip("0") for part in count.groups() if part]
    return max((MOST + 1 if len(part) > 4 else int(part or 0) for part in digits), default=1) or 1
