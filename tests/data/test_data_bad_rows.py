"""One bad row is told with how many there are and how to leave them out; leaving them out works."""

import json

import pytest

from rankwise.data import load_data, load_examples, profile
from rankwise.errors import UsageError

from .conftest import CHATML, make_tokenizer

ASK, GOOD = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def chat(n, *more) -> dict:
    return {"messages": [ASK | {"content": f"q{n}"}, *more, GOOD]}


def lines(*rows) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


QA = [{"question": f"q{n}", "answer": "a"} for n in range(40)]
CHATS = [chat(n) for n in range(40)]
IMAGE = {"type": "image_url", "image_url": {"url": "x"}}
PARTS = {"messages": [ASK, GOOD | {"content": [{"type": "text", "text": "a"}, IMAGE]}]}
CSV = "".join(f"q{n},a\n" for n in range(40))
LABELED = [{"text": f"t{n}", "label": n % 2} for n in range(40)]
NULL = {"text": "t", "label": None}
# name of the case: (file, 40 good rows with two bad ones among them, what is said of the first)
FILES = {
    "content in parts": ("a.jsonl", lines(*CHATS[:9], PARTS, *CHATS[9:], PARTS), "line 10, .*part 2 of 'content' is"),
    "the first row": ("a.jsonl", lines(PARTS, PARTS, *CHATS), "line 1, messages turn 2: part 2 of 'content'"),
    "other columns first": ("a.jsonl", lines({"x": 1}, {"y": 1}, *CHATS), "line 1: column 'messages' is missing"),
    "a role unknown": ("a.jsonl", lines(*CHATS, chat(0, GOOD | {"role": "bot"}), PARTS), "unknown role 'bot'"),
    "a weight of a half": ("a.jsonl", lines(chat(1, GOOD | {"weight": 0.5}), *CHATS, PARTS), "'weight' is 0.5"),
    "a column is missing": ("a.jsonl", lines(*QA, {"question": "q"}, {}), "line 41: column 'answer' is missing"),
    "an empty answer": ("a.csv", f"question,answer\n{CSV}q,\nq, \n", "line 42: 'answer' is empty"),
    "a ragged line": ("a.csv", f"question,answer\nq,a,b\n{CSV}q\n", "line 2: 3 cells, but"),
    "a broken line": ("a.jsonl", lines(*QA, '{"question": ', "7"), "line 41: broken JSON"),
    "a key twice": ("a.jsonl", lines(*QA[:5], '{"question": 1, "question": 2}', *QA[5:], "null"), "line 6: the key"),
    "a number for a row": ("a.json", json.dumps([*QA, 3, 4]), "row 41: expected an object with named columns"),
    "no label": ("a.jsonl", lines(*LABELED, NULL, NULL), "line 41: 'label' must be text, found NoneType"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_bad_rows_are_counted_and_can_be_left_out(tmp_path, tokenizer, case) -> None:
    name, content, match = FILES[case]
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UsageError, match=match) as refused:
        load_data(str(path), tokenizer)
    spec = f"skip-bad-rows:{path}"
    told = f"; 2 of 42 rows cannot be used: correct them, or leave them out with --data {spec}"
    assert str(refused.value).endswith(told)
    splits = load_data(spec, tokenizer)
    assert sum(map(len, (splits.train, splits.selection, splits.test))) == 40
    (note,) = [note for note in splits.notes if "left out" in note]
    first = str(refused.value).removesuffix(told)
    assert note == f"train: 2 of 42 rows left out, as they cannot be used; the first: {first}"


STERN = (
    "{% if messages | selectattr('role', 'equalto', 'tool') | list %}{{ raise_exception('no tools') }}{% endif %}"
    + CHATML
)


@pytest.mark.parametrize(
    ("template", "bad"),
    [
        (STERN, {"role": "tool", "content": "4"}),  # the template refuses it
        (CHATML + "{% if messages | length > 3 %}{{ messages[1].x.y }}{% endif %}", ASK),  # it asks for a key
        (CHATML.replace("+ message['content']", "+ (message['x'] or '') + message['content']"), ASK | {"x": 3}),  # odd
        (CHATML.replace("message['content']", "(message['content'] if loop.last or not message.x else 'x')"),
         GOOD | {"x": "1"}),  # it rewrites an earlier turn
    ],
)  # fmt: skip
def test_examples_that_a_template_cannot_write_too(write, template, bad) -> None:
    rows = [{"messages": [ASK | {"content": f"q{n}"}, GOOD]} for n in range(60)]
    rows[7:7] = [{"messages": [ASK | {"content": f"b{n}"}, bad, ASK, GOOD]} for n in range(20)]
    path, tokenizer = write("a.jsonl", rows), make_tokenizer(template)
    with pytest.raises(
        UsageError, match=r"the .*chat template .*; \d+ of 58 train examples cannot be used: correct them, or"
    ):
        load_data(str(path), tokenizer)
    splits = load_data(f"skip-bad-rows:{path}", tokenizer)
    assert sum(map(len, (splits.train, splits.selection, splits.test))) == 60
    assert sum("examples left out, as they cannot be used; the first: the " in note for note in splits.notes) >= 1
    examples = load_examples(f"skip-bad-rows:{path}")
    found = profile(examples, tokenizer, max_length=500)
    assert sum(split.measured for split in found.splits.values()) == 60
    assert any("left out" in note for note in found.notes)
    with pytest.raises(UsageError, match=f"leave them out with --data skip-bad-rows:{path}"):
        profile(load_examples(str(path)), tokenizer, max_length=500)


def test_where_nothing_would_be_left_leaving_out_is_not_proposed(tmp_path, tokenizer) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(PARTS, PARTS))
    for spec in (str(path), f"skip-bad-rows:{path}"):
        with pytest.raises(UsageError, match=r"line 1, .*; none of the 2 rows can be used$"):
            load_data(spec, tokenizer)


def test_a_name_is_quoted_and_generated_data_have_no_bad_rows(tmp_path, tokenizer) -> None:
    path = tmp_path / "my data.jsonl"
    path.write_text(lines(*CHATS, PARTS))
    with pytest.raises(UsageError, match=f"1 of 41 rows .* leave it out with --data 'skip-bad-rows:{path}'$"):
        load_data(str(path), tokenizer)
    for spec in ("skip-bad-rows:word-problems", "skip-bad-rows:reasoning-gym:gsm_symbolic"):
        with pytest.raises(UsageError, match="is made here and has no bad rows"):
            load_data(spec, tokenizer)
    with pytest.raises(UsageError, match=r"no such file or folder: nowhere\.jsonl"):
        load_data("skip-bad-rows:nowhere.jsonl", tokenizer)


def test_good_data_are_the_same_data_with_it(write, tokenizer) -> None:
    path = write("a.jsonl", CHATS)
    one, other = load_data(str(path), tokenizer), load_data(f"skip-bad-rows:{path}", tokenizer)
    assert (one.fingerprint, one.notes) == (other.fingerprint, other.notes)
