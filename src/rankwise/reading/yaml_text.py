"""YAML: plain values only, of a bounded depth and size. An alias counts as what it stands for: nine lines of them can
stand for gigabytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rankwise.errors import UsageError
from rankwise.reading.plain_text import read_text

DEPTH = 50  # levels; a study has six
VALUES = 100_000  # in all, aliases written out
CHARACTERS = 4 * 2**20  # of a text; YAML is written by hand


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with a limit of depth, and no key twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.depth == DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"nested more than {DEPTH} levels deep", problem_mark=mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            spelled = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if spelled in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} comes twice", problem_mark=key.start_mark)
            if spelled is not None and key.value != "<<":
                seen.add(spelled)
        return node

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _values(node, {}) > VALUES:
            raise yaml.YAMLError(f"it stands for more than {VALUES:,} values")
        return node


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values that a node stands for, aliases written out."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = VALUES + 1  # until it is known: a node inside itself never ends
        inside = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_values(part, known) for part in inside)
    return known[id(node)]


def parse_yaml(text: str, where: str, *, cure: str = "") -> Any:
    """Read one YAML value.

    Args:
        where: of what; it begins every sentence.
        cure: what to do about it; it ends the sentence.

    Raises:
        UsageError: it is not YAML, is too large, or holds what no setting can be.
    """
    cure = f"; {cure}" if cure else ""
    if len(text) > CHARACTERS:
        raise UsageError(f"{where} has {len(text):,} characters, more than the {CHARACTERS:,} that are read{cure}")
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split()).replace(' in "<unicode string>",', " at")
        raise UsageError(f"{where} is not readable YAML: {reason}{cure}") from None
    except RecursionError:
        raise UsageError(f"{where} is not readable YAML: nested too deeply{cure}") from None
    except (ValueError, OverflowError, TypeError, AttributeError) as error:  # 2020-13-45, 0b_, 5,000 digits
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{where} is not readable YAML: a value looks like a number or a date and is none ({reason}); put it in "
            f"quotes if it is text{cure}"
        ) from None


def read_mapping(path: Path, *, what: str, cure: str = "correct the file") -> dict[str, Any]:
    """Read a YAML file that holds a mapping of settings.

    Args:
        what: what the file must hold, for the sentence: "a mapping of settings".

    Raises:
        FileNotFoundError: there is none.
        UsageError: it is not YAML, or not a mapping.
    """
    value = parse_yaml(read_text(path, cure=cure), str(path), cure=cure)
    if not isinstance(value, dict):
        raise UsageError(f"{path} must hold {what}, found {type(value).__name__}; {cure}")
    if strange := [key for key in value if not isinstance(key, str)]:
        raise UsageError(f"{path}: the name of a setting must be text, found {strange[0]!r}; {cure}")
    return value
