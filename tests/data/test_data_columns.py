"""``--columns``: another name, a template, something inside a column; and the raw shapes that need none."""

import json
from pathlib import Path

import pytest

from rankwise.data import load_data, load_examples
from rankwise.data.columns import parse_columns, spelled
from rankwise.errors import UsageError

ROWS = [{"Id": n, "tweet": f"t{n}", "Mood": f"m{n % 3}", "more": {"a": [{"b": f"in {n}"}]}} for n in range(30)]


@pytest.mark.parametrize(("columns", "said"), [
    ("prompt=tweet,completion=mood", ["t7", "m1"]),
    ({"Prompt": "tweet", "completion": "Mood"}, ["t7", "m1"]),
    (r"prompt=I read {tweet}, so\n, completion= {Mood}!", ["I read t7, so\n", " m1!"]),
    ({"prompt": "{{{tweet}}}", "completion": "{mood}\n"}, ["{t7}", "m1\n"]),
    ("question=tweet,answer=more.a.b", ["t7", "in 7"]),
    ("question={tweet} {more.a.b},answer=mood", ["t7 in 7", "m1"]),
])  # fmt: skip
def test_what_the_option_says_is_read(write, columns, said: list[str]) -> None:
    path = write("a.jsonl", ROWS)
    found = load_examples(str(path), columns=columns)
    everything = found.train + found.selection + found.test
    assert said in [[message.content for message in example.messages] for example in everything]
    assert len(everything) == 30
    assert found.unread[:1] == ("Id",)
    (note,) = [note for note in found.notes if note.startswith("columns are read as")]
    assert "\n" not in note
    assert parse_columns(note.removeprefix("columns are read as ")) == parse_columns(columns)


def test_the_option_and_the_mapping_say_the_same() -> None:
    columns = {"prompt": "{a}, b: {c}\n", "completion": "d e"}
    assert parse_columns(spelled(columns)) == columns == parse_columns(columns)


def test_classifications_and_turns_under_other_names(write) -> None:
    labelled = load_examples(str(write("a.jsonl", ROWS)), columns="text=tweet,label=mood")
    assert "Options: m0, m1, m2\n\nt" in labelled.train[0].messages[0].content
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    talks = [{"dialog": [{**turn, "content": f"{turn['content']}{n}"} for turn in turns]} for n in range(9)]
    assert load_examples(str(write("b.jsonl", talks)), columns="messages=dialog").train[0].chat


def test_the_files_own_columns_complete_what_was_given(write) -> None:
    rows = [{"question": f"q{n}", "reply": f"a{n}", "explanation": "e"} for n in range(9)]
    found = load_examples(str(write("a.json", rows)), columns="answer=reply")
    assert (found.form, found.unread) == ("question/explanation/answer", ())
    found = load_examples(str(write("a.json", rows)), columns="question=question,answer=reply")
    assert (found.form, found.unread) == ("question/answer", ("explanation",))


def test_blank_parts_of_a_template_are_counted(write) -> None:
    rows = [{"ask": f"q{n}", "with": None if n < 4 else "x", "reply": "a"} for n in range(30)]
    notes = load_examples(str(write("a.json", rows)), columns="question={ask} {with},answer=reply").notes
    assert "4 train rows have nothing in column 'with' of a template" in notes


def test_hub_classes_go_by_their_names(monkeypatch) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    from rankwise.data import hub

    from .test_data_hub import pretend

    features = Features({"body": Value("string"), "Kind": ClassLabel(names=["good", "bad"])})
    loaded = {
        "train": Dataset.from_dict({"body": [f"s{n}" for n in range(9)], "Kind": [0, 1, 0] * 3}, features=features)
    }
    pretend(monkeypatch, lambda name, config: loaded)
    assert hub.ID.fullmatch("a/b")
    for columns in ("prompt=body,completion=kind", "text=body,label=kind"):
        found = load_examples("a/b", columns=columns)
        assert {example.messages[-1].content for example in found.train} == {"good", "bad"}
    assert "Options: good, bad" in found.train[0].messages[0].content


@pytest.mark.parametrize(("columns", "match"), [
    ("", "--columns needs NAME=COLUMN, such as prompt=text,completion=category"),
    ("tweet", "needs NAME=COLUMN.*found 'tweet'"),
    ({}, "must say which column is read as what"),
    (["tweet"], "must say which column is read as what"),
    ("prompt=,completion=mood", "'prompt' needs a column"),
    ({"prompt": 3}, "'prompt' needs a column of the file or a template, found 3"),
    ("promt=tweet,completion=mood", "unknown name in columns 'promt'; did you mean 'prompt'"),
    ("prompt=tweet,prompt=mood", "'prompt' twice"),
    ("prompt={tweet,completion=mood", "template '{tweet' is broken"),
    ("prompt=tweet},completion=mood", "is broken"),
    ("prompt={},completion=mood", "needs the names of columns between braces"),
    ("prompt={tweet!r},completion=mood", "needs the names of columns"),
    ("prompt={tweet:>9},completion=mood", "needs the names of columns"),
    ("prompt=twet,completion=mood", r"unknown column 'twet'; did you mean 'tweet'.*a\.jsonl line 1"),
    ("prompt={twet},completion=mood", "unknown column 'twet'; did you mean 'tweet'"),
    ("prompt=tweet,mood", "unknown column"),
    ("prompt=more.a.c,completion=mood", "no 'c' in it; it holds b"),
    ("prompt=tweet.a,completion=mood", "no 'a' in it; it holds str"),
    ("prompt=tweet", "no whole row; give all of one of these sets: prompt, completion;"),
    ("prompt=tweet,answer=mood", "no whole row"),
    ("prompt=more,completion=mood", "must be text|both text"),
])  # fmt: skip
def test_mistakes_are_one_sentence(write, tokenizer, columns, match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        load_data(str(write("a.jsonl", ROWS)), tokenizer, columns=columns)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_generated_data_have_no_columns(tokenizer) -> None:
    with pytest.raises(UsageError, match="word-problems is made here"):
        load_data("word-problems", tokenizer, columns="prompt=a,completion=b")


def squad(topics: int) -> dict:
    def question(n: int) -> dict:
        return {"id": n, "question": f"q{n}?", "answers": [{"text": f"a{n}", "answer_start": 0}] if n % 3 else []}

    return {
        "version": "2",
        "data": [
            {"title": f"t{t}", "paragraphs": [{"context": f"c{t}", "qas": [question(4 * t + n) for n in range(4)]}]}
            for t in range(topics)
        ],
    }


PAIRS = [{"input": f"i{n}", "target": f"o{n}"} for n in range(30)]
RAW = {
    "text,category": ("a.csv", "text,category\n" + "".join(f"t{n},c{n % 3}\n" for n in range(30)), 30),
    "a list under a key": ("a.json", json.dumps({"name": "n", "tags": ["t"], "m": [], "examples": PAIRS}), 30),
    "squad": ("dev.json", json.dumps(squad(9)), 24),
    "preferences": ("a.json", json.dumps([{"prompt": f"p{n}", "chosen": f"c{n}"} for n in range(30)]), 30),
    "input,target": ("a.csv", "input,target\n" + "".join(f"i{n},o{n}\n" for n in range(30)), 30),
}  # fmt: skip


@pytest.mark.parametrize("shape", RAW)
def test_raw_shapes_need_no_option(tmp_path: Path, tokenizer, shape: str) -> None:
    name, content, count = RAW[shape]
    (tmp_path / name).write_text(content)
    splits = load_data(str(tmp_path / name), tokenizer)
    assert len(splits.train) + len(splits.selection) + len(splits.test) == count
    assert all(0 < encoded.targets <= 4 for encoded in splits.train), "only the reply is learned"
