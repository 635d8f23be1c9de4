"""Everything wrong with data that we could think of: one sentence that says what and where, exit code 2."""

import io
import json
import os
from pathlib import Path

import pytest

from rankwise.data import load_data
from rankwise.errors import UsageError

ROW = {"question": "q", "answer": "a"}
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
GOOD = "".join(json.dumps({"question": f"q{n}", "answer": "a"}) + "\n" for n in range(9))


def lines(*rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def parquet(**columns) -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def moment(kind, value, *how) -> bytes:
    """A column that holds one moment (or day, or duration), as its number of units."""
    import pyarrow

    return parquet(question=["q"], answer=pyarrow.array([value], type=getattr(pyarrow, kind)(*how)))


BEYOND = r"a\.parquet: a value is none that Python can hold \(.*\); write it as text"
# name of the case: (file, its content, what the sentence must say)
FILES = {
    "empty jsonl": ("a.jsonl", "", r"a\.jsonl is empty; it needs at least one example"),
    "only white space": ("a.json", " \n\t ", "is empty"),
    "only a byte-order mark": ("a.csv", "\ufeff", "is empty"),
    "empty list": ("a.json", "[]", "holds no rows"),
    "csv with a header only": ("a.csv", "question,answer\n", "holds no rows"),
    "parquet without rows": ("a.parquet", parquet(question=[], answer=[]), "holds no rows"),
    "one example": ("a.jsonl", lines(ROW), "too few examples: 1 to divide among 3 splits; at least 3"),
    "the same example over and over": ("a.jsonl", lines(*[ROW] * 9), "every train example is also in a held-out"),
    "broken JSON line": ("a.jsonl", GOOD + '{"question": \n', r"a\.jsonl line 10: broken JSON at column \d+"),
    "line cut short": ("a.jsonl", GOOD[:-10], r"a\.jsonl line 9: broken JSON"),
    "broken JSON": ("a.json", '[\n{"question": "q",}\n]', r"a\.json line 2: broken JSON at column 18"),
    "JSON lines called json": ("a.json", GOOD, r"line 2: broken JSON.*name it \.jsonl"),
    "JSON list called jsonl": ("a.jsonl", json.dumps([ROW, ROW]), "line 1: expected an object.*found list"),
    "nested too deeply": ("a.json", "[" * 100_000, "nested too deeply"),
    "a number of 5,000 digits": ("a.jsonl", '{"question": "q", "answer": ' + "7" * 5000 + "}", "number is too long"),
    "a key twice in a line": (
        "a.jsonl", GOOD + '{"question": "q", "answer": "a", "answer": "b"}\n',
        r"a\.jsonl line 10: the key 'answer' comes twice in the object that begins .\"question\": \"q\"; only one"),
    "a key twice in a turn": (
        "a.json", '[{"messages": [{"role": "user", "content": "a", "content": "b"}]}]',
        "a.json: the key 'content' comes twice in the object that begins .\"role\": \"user\""),
    "an object, not a list": ("a.json", '{"n": 3}', r"expected a list of objects, alone or under.*none under n"),
    "an object with an empty list": ("a.json", '{"rows": []}', "holds no rows"),
    "an object with two lists": ("a.json", json.dumps({"train": [ROW], "test": [ROW]}), "lists under train, test; for"),
    "a row that is a number": ("a.jsonl", GOOD + "3\n", "line 10: expected an object with named columns, found int"),
    "a row that is null": ("a.json", json.dumps([ROW, None]), "row 2: expected an object.*found NoneType"),
    "Latin-1": ("a.jsonl", '{"question": "q", "answer": "é"}'.encode("latin-1"), r"not UTF-8 text \(byte 29\)"),
    "UTF-16": ("a.csv", "question,answer\nq,a\n".encode("utf-16"), r"not UTF-8 text \(byte 0\); save it again"),
    "a picture called json": ("a.json", b"\x89PNG\r\n\x1a\n", "not UTF-8 text"),
    "half a character": ("a.jsonl", r'{"question": "q", "answer": "x\ud83d"}', "half a character.*position 1"),
    "column misspelled": ("a.jsonl", lines({"qestion": "q", "answer": "a"}), "'qestion' is close to 'question'"),
    "columns misspelled in csv": ("a.csv", "promt,completions\nq,a\n", "'promt' is close to 'prompt'"),
    "no known column": ("a.jsonl", lines({"x": 1}), "line 1: cannot tell what the columns mean; found x; accepted"),
    "columns under other names": (
        "a.csv", "id,tweet,the mood\n1,t,m\n", r"found id, tweet, the mood; say it, as with --columns "
        r"'question=tweet,answer=the mood' \(.* or --columns 'prompt=tweet,completion=the mood'"),
    "turns under another name": ("a.jsonl", lines({"dialog": TURNS}), "say it, as with --columns messages=dialog"),
    "squad without questions": ("a.json", json.dumps([{"paragraphs": []}]), "row 1: no paragraph holds a question"),
    "squad with text for a paragraph": ("a.json", json.dumps([{"paragraphs": ["p"]}]), "'paragraphs' must be a list"),
    "squad answers as text": (
        "a.json", json.dumps([{"context": "c", "question": "q", "answers": "a"}]), "'answers' must be a list"),
    "preferences with nothing in common": (
        "a.jsonl", lines({"chosen": "yes", "rejected": "no"}), "line 1: chosen and rejected do not begin with"),
    "no column": ("a.jsonl", "{}\n", "found none"),
    "a later row lacks a column": ("a.jsonl", GOOD + lines({"question": "q"}), "line 10: column 'answer' is missing"),
    "columns that differ in case": ("a.jsonl", lines({**ROW, "Answer": "b"}), "differ only in letter case"),
    "empty completion": ("a.jsonl", lines({"prompt": "p", "completion": ""}), "line 1: 'completion' is empty"),
    "blank answer": ("a.csv", "question,answer\nq, \n", r"a\.csv line 2: 'answer' is empty; fill it in"),
    "null answer": ("a.jsonl", lines({**ROW, "answer": None}), "'answer' must be text, found NoneType"),
    "null in parquet": ("a.parquet", parquet(question=["q", "q"], answer=["a", None]), "row 2: 'answer' must be text"),
    "NaN": ("a.jsonl", '{"question": "q", "answer": NaN}', "'answer' is nan, not a number"),
    "nan in parquet": ("a.parquet", parquet(question=["q"], answer=[float("nan")]), "row 1: 'answer' is nan"),
    "a list where text belongs": ("a.jsonl", lines({**ROW, "answer": ["a"]}), "'answer' must be text, found list"),
    "an object where text belongs": ("a.jsonl", lines({**ROW, "question": {}}), "'question' must be text, found dict"),
    "bytes in parquet": ("a.parquet", parquet(question=[b"q"], answer=["a"]), "'question' must be text, found bytes"),
    "messages as text": ("a.jsonl", lines({"messages": "hi"}), "'messages' must be a list of turns"),
    "messages empty": ("a.jsonl", lines({"messages": []}), "must be a list of turns.*not empty"),
    "a turn that is text": ("a.jsonl", lines({"messages": ["hi"]}), "turn 1: a turn must be an object with role"),
    "a turn without content": ("a.jsonl", lines({"messages": [{"role": "user"}]}), "with role and content"),
    "content in parts": (
        "a.jsonl", lines({"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]}),
        "turn 1: part 1 of 'content' is of type 'image', and only parts of text are read"),
    "content in a list": (
        "a.jsonl", lines({"messages": [{"role": "user", "content": ["a"]}]}),
        "turn 1: 'content' must be text, found list"),
    "role misspelled": (
        "a.jsonl", lines({"messages": [TURNS[0], {"role": "assistent", "content": "b"}]}),
        "unknown role 'assistent'; did you mean 'assistant'.*line 1, messages turn 2"),
    "speaker unknown": (
        "a.json", json.dumps([{"conversations": [{"from": "humn", "value": "a"}]}]),
        "did you mean 'human'.*row 1, conversations turn 1"),
    "only the user speaks": ("a.jsonl", lines({"messages": TURNS[:1]}), "no assistant turn to train on"),
    "the assistant opens": ("a.jsonl", lines({"messages": TURNS[1:]}), "starts with the assistant"),
    "prompt text, completion list": ("a.jsonl", lines({"prompt": "p", "completion": TURNS}), "both text or both lists"),
    "alpaca without output": ("a.jsonl", lines({"instruction": "i", "output": ""}), "'output' is empty"),
    "too many labels": (
        "a.jsonl", lines(*({"text": "t", "label": f"l{n}"} for n in range(201))), "'label' has 201 different values"),
    "no label at all": ("a.jsonl", lines(*[{"text": "t", "label": "-"}] * 3), "neither this row nor any after it"),
    "xcopa label 2": (
        "a.jsonl", lines({"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": 2}),
        r"'label' must be 0 \(choice1\) or 1 \(choice2\), found 2"),
    "xcopa question": (
        "a.jsonl", lines({"premise": "p", "choice1": "a", "choice2": "b", "question": "causes", "label": 1}),
        "unknown question 'causes'; did you mean 'cause'"),
    "mawps equation": (
        "a.csv", "Question,Numbers,Equation,Answer\nnumber0 ?,1 2,number0 + number1,3\n", "not in prefix order"),
    "mawps numbers": ("a.csv", "Question,Numbers,Equation,Answer\nnumber2 ?,1,x,3\n", "number2 is used, but .* has 1"),
    "ragged csv": ("a.csv", "question,answer\nq,a\nq,a,more\n", r"a\.csv line 3: 3 cells, but the header has 2"),
    "short csv row": ("a.csv", "question,answer\nq\n", "line 2: 1 cells, but the header has 2"),
    "csv quote left open": ("a.csv", 'question,answer\nq,"a\nq,a\n', "line 2: broken CSV: unexpected end of data"),
    "csv with semicolons": ("a.csv", "question;answer\nq;a\n", "separated by ';'; save it with commas"),
    "csv with a column twice": ("a.csv", "question,answer,answer\nq,a,b\n", "two columns are named 'answer'"),
    "a moment beyond year 9999": ("a.parquet", moment("timestamp", 2**40, "s"), BEYOND),
    "a moment in microseconds": ("a.parquet", moment("timestamp", -(2**62), "us"), BEYOND),
    "a moment in a zone": ("a.parquet", moment("timestamp", 2**62, "us", "UTC"), BEYOND),
    "a day beyond year 9999": ("a.parquet", moment("date32", 2**31 - 1), BEYOND),
    "an endless duration": ("a.parquet", moment("duration", 2**62, "s"), BEYOND),
    "parquet that is not": ("a.parquet", "question,answer\n", "not a readable Parquet file"),
    "parquet cut short": ("a.parquet", parquet(question=["q"], answer=["a"])[:-20], "not a readable Parquet file"),
    "empty parquet": ("a.parquet", "", "not a readable Parquet file"),
    "kind of file": ("a.txt", "hello", r"cannot read \.txt; use \.json, \.jsonl, \.csv or \.parquet"),
    "no extension": ("train", "hello", "cannot read a file without extension"),
    "prompts fill all the room": (
        "a.jsonl", lines(*({"prompt": "p" * 300 + str(n), "completion": "c"} for n in range(9))),
        r"all labels are masked in the train split.*shortest prompt reaches its first one at 302; raise max_length"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_file(tmp_path: Path, tokenizer, case: str) -> None:
    name, content, match = FILES[case]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    refused(str(tmp_path / name), tokenizer, match)


def refused(spec: str, tokenizer, match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        load_data(spec, tokenizer)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def fill(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "no train file.*it holds nothing"),
        ({"README_md": "hi", "model_bin": "x"}, r"no train file.*it holds README\.md, model\.bin"),
        ({"a_json": "[]", "b_json": "[]"}, r"no train file.*it holds a\.json, b\.json"),
        ({"train_json": "[]", "train_csv": "x"}, r"both train\.csv and train\.json look like the train split"),
        ({"train_jsonl": GOOD, "test_jsonl": ""}, r"test\.jsonl is empty"),
        ({"train_jsonl": GOOD, "test_jsonl": GOOD}, "every train example is also in a held-out split"),
        ({"train_jsonl": GOOD, "test_jsonl": lines({"text": "x"})}, r"test\.jsonl line 1: cannot tell"),
        ({"train_jsonl": lines({"text": "a", "label": "x"}), "labels_json": "{}"}, "expected a list of labels"),
        ({"train_jsonl": lines({"text": "a", "label": "x"}), "labels_json": "[1"}, r"labels\.json line 1: broken JSON"),
        ({"train_jsonl": lines({"text": "a", "label": "x"}), "labels_json": '["y"]'}, "unknown label 'x'"),
        ({"train_jsonl": lines({"text": "a", "label": 1}), "labels_json": '["y"]'}, "'label' 1 is outside"),
    ],
)  # fmt: skip
def test_folder(tmp_path: Path, tokenizer, files: dict[str, str], match: str) -> None:
    fill(tmp_path, **files)
    refused(str(tmp_path), tokenizer, match)


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("trian.jsonl", r"no such file or folder: trian\.jsonl; did you mean train\.jsonl\?; check the path"),
        ("./nowhere", r"no such file or folder: \./nowhere"),
        ("a" * 5000, "cannot be used as a path: File name too long"),
        ("~nobody-of-that-name/a.json", "cannot be used as a path"),
        ("word-problms", "did you mean 'word-problems'"),
        ("reasoning_gym:gsm_symbolic", "did you mean 'reasoning-gym:gsm_symbolic'"),
        ("  ", "unknown data"),
        ("owner/name:con fig", "no such file or folder"),
    ],
)
def test_spec(tmp_path: Path, tokenizer, monkeypatch: pytest.MonkeyPatch, spec: str, match: str) -> None:
    fill(tmp_path, train_jsonl=GOOD)
    monkeypatch.chdir(tmp_path)
    refused(spec, tokenizer, match)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_unreadable_file(tmp_path: Path, tokenizer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(parquet(question=["q"], answer=["a"]))
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything
        import pyarrow.parquet

        def no(*args, **options):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "read_bytes", no)
        monkeypatch.setattr(pyarrow.parquet, "read_table", no)
    refused(str(path), tokenizer, "cannot be read: Permission denied")


def test_unreadable_folder(tmp_path: Path, tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", no)
    refused(str(tmp_path), tokenizer, "cannot be read: Permission denied")


def test_a_pipe(tmp_path: Path, tokenizer) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    refused(str(tmp_path / "pipe.json"), tokenizer, "neither a file nor a folder")
