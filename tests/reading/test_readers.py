"""Every reader over hostile texts: one sentence that begins with where it is, and nothing that takes long."""

import json
import time

import pytest

from rankwise.errors import UsageError
from rankwise.reading import Options, Pattern, parse_json, parse_yaml, read_mapping, read_object
from rankwise.studies.results.file import read_cells, read_results

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{other}'] * 9)}]\n" for other, one in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = {
    "no date": "2020-13-45",
    "no binary number": "x: 0b_",
    "many digits": "x: " + "9" * 5000,
    "brackets": "[" * 5000,
    "aliases": BOMB,
    "an alias in itself": "&a [*a]",
    "a key twice": "a: 1\na: 2",
    "code": "!!python/object/apply:os.system [ls]",
    "a list as a key": "? [a]\n: 1",
    "a tab": "a:\n\t- b",
}
JSON = {
    "nothing": "",
    "brackets": "[" * 5000,
    "closed brackets": "[" * 500 + "]" * 500,
    "many digits": "9" * 5000,
    "a key twice": '{"a": 1, "a": 2}',
    "half a character in a key": '[{"\\ud800": 1}]',
    "half": '{"a":',
}
PATTERNS = {"open": "(", "repeated nothing": "*a", "long": "a" * 20_000, "many": "(" * 9000, "count": "a{99999999999}"}
# Each takes gigabytes to compile, or did.
COUNTED = {
    "many": "a{999999999}",
    "at most": "a{0,999999999}",
    "at least": "a{10000,}",
    "up to": "a{,999999999}",
    "of a group": "(a|b){999999}",
    "of a class": "[^]{}a]{99999999}",
    "after an escape": r"\{\[{99999999}",
    "in a look-ahead": "(?=.{99999999})",
    "after a comment": "(?#[)a{99999999}",
    "spelled widely": "(?x)a{ 99 999 999 } # [",
    "in each other": "((a{1000}){1000}){1000}",
    "in each other, unnamed": "(?:(?:a{999}b){999}){9}",
    "one after the other": "a{9999}" * 100,
    "of a count": "(a{50,9999}|[ab]{9}){999}",
}
# What configurations of adapters hold, and braces that are text.
USUAL = [
    r".*\.(q|v)_proj",
    r"model\.layers\.(1?\d|2[0-3])\.self_attn\.(q_proj|v_proj)$",
    r"^(?!.*(vision|audio)).*(?:q_proj|k_proj).*",
    r".*layers\.\d{1,3}\.(mlp|self_attn)\.[a-z_]{1,40}",
    r"(?x) layers \. \d{1,2} \. q_proj ",
    r"[{9999999}]",
    r"\{9999999\}",
    r"a{,}|{9999999",
    r"(?:(?:a{1,99}){1,99})",
]


@pytest.mark.parametrize("case", YAML)
def test_yaml(case):
    with pytest.raises(UsageError, match=r"^here ") as error:
        parse_yaml(YAML[case], "here")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("case", JSON)
def test_json(case):
    with pytest.raises(UsageError, match=r"^here") as error:
        parse_json(JSON[case], "here")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("case", PATTERNS)
def test_patterns(case):
    with pytest.raises(UsageError, match=r"^here"):
        Pattern(PATTERNS[case], "here")


SLOW_ONCE = {
    "a key twice among many": lambda: parse_json(
        "{" + ", ".join(f'"k{n}": 1' for n in range(50_000)) + ', "k49999": 2}', "x"
    ),
    "brackets without an end": lambda: Pattern("[" * 9_999, "x"),
    "literal brackets without an end": lambda: Pattern("[a" * 4_999, "x"),
}


@pytest.mark.parametrize("case", SLOW_ONCE)
def test_what_grew_with_the_square_of_its_length_does_not(case):
    start = time.process_time()
    with pytest.raises(UsageError):
        SLOW_ONCE[case]()
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("case", COUNTED)
def test_counts_are_limited_before_anything_is_compiled(case, monkeypatch):
    monkeypatch.setattr("rankwise.reading.patterns.regex.compile", None)  # never called
    with pytest.raises(
        UsageError, match=r"^here .*(more than 9,999 times|with its counts written out).*or \* for any"
    ) as error:
        Pattern(COUNTED[case], "here")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("text", USUAL)
def test_usual_patterns_are_taken(text):
    Pattern(text, "here", around=("(.*\\.)?(", ")$"))


@pytest.mark.parametrize("ask", ["found_in", "matches", "begins"])
def test_a_pattern_that_takes_too_long(ask, monkeypatch):
    monkeypatch.setattr("rankwise.reading.patterns.SECONDS", 0.1)
    pattern = Pattern("(a|.|[a-z])*[XY]", "here", around=("(.*)(", ")$"))
    with pytest.raises(UsageError, match=r"takes more than .* without nested repetition"):
        getattr(pattern, ask)("model.layers.0.self_attn.q_proj." * 3)


def test_a_pattern_means_what_pythons_own_means():
    pattern = Pattern(r"(?!.*k_)(q|v)_proj", "here")
    assert pattern.matches("q_proj")
    assert pattern.begins("v_proj.x")
    assert not pattern.matches("v_proj.x")
    assert pattern.found_in("layers.0.v_proj.x")


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"null", b"5", b'"x"', b"{", b"\x00"], ids=lambda b: b.decode("latin-1")
)
@pytest.mark.parametrize("read", [read_object, read_results, read_cells])
def test_a_file_that_should_hold_an_object(content, read, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=str(path)):
        read(path)


@pytest.mark.parametrize("value", [{}, {"results": None}, {"results": []}, {"results": {}}])
def test_results_without_results(value, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(value))
    with pytest.raises(UsageError, match="holds no results of a study; run the study again"):
        read_results(tmp_path / "results.json")


@pytest.mark.parametrize("cells", ["x", [1], [None], ["../a"], {"a": 1}])
def test_cells_that_are_no_names(cells, tmp_path):
    (tmp_path / "cells.json").write_text(json.dumps({"cells": cells}))
    with pytest.raises(UsageError, match="must be a list of folder names"):
        read_cells(tmp_path / "cells.json")


@pytest.mark.parametrize("content", [b"5", b"[a]", b"1: 2", b"\xff", b"null", b"2020-01-01: 1"])
def test_a_file_that_should_hold_settings(content, tmp_path):
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=str(path)):
        read_mapping(path, what="a mapping of settings")


BAD = (None, "x", [1], {"a": 1}, float("nan"), 10**5000, 10**400, True, -1)


@pytest.mark.parametrize("value", BAD, ids=[str(n) for n in range(len(BAD))])
def test_options_of_another_type(value):
    own = Options({"o": value}, "here")
    with pytest.raises(UsageError, match="here: o must be a whole number") as error:
        own.count("o", value)
    assert len(str(error.value)) < 200
    if value not in (True, -1):
        with pytest.raises(UsageError, match="here: o must be a number"):
            own.number("o", value)
