import csv
import json
from pathlib import Path

import pytest

from rankwise.data import load_examples
from rankwise.data.prompts import prompts_in
from rankwise.data.readers import rows_of
from rankwise.errors import UsageError

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def test_csv_equals_json(write, tmp_path: Path) -> None:
    items = [{"question": f'q{n}, "so"\nmore', "answer": f"{n}"} for n in range(30)]
    path = tmp_path / "a.CSV"
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, ["question", "answer"])
        writer.writeheader()
        writer.writerows(items)
    assert load_examples(str(path)) == load_examples(str(write("a.json", items)))


def test_csv_names_the_line_where_a_row_starts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('question, answer,\n"two\nlines",1,x\n\nlast,2,y\n')
    assert rows_of(path) == [
        (f"{path} line 2", {"question": "two\nlines", "answer": "1", "column 3": "x"}),
        (f"{path} line 5", {"question": "last", "answer": "2", "column 3": "y"}),
    ]


@pytest.mark.parametrize("length", [131_072, 160_000, 3_000_000])
def test_a_csv_cell_may_be_as_long_as_a_document(tmp_path: Path, length: int) -> None:
    path, usual = tmp_path / "a.csv", csv.field_size_limit()
    path.write_text(f'text,label\n{"x" * length},a\n"{"y" * length}",b\n')
    assert [len(row["text"]) for _, row in rows_of(path)] == [length] * 2
    assert csv.field_size_limit() == usual


def parquet(path: Path, items: list) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(items), path)


PROMPTS = ["one\u2028and a half", "hai\u0085", "3"]


@pytest.mark.parametrize("name", ["p.txt", "p", "p.JSONL", "p.json", "p.csv", "p.parquet"])
def test_prompts_are_read_by_the_readers_of_rows(tmp_path: Path, name: str) -> None:
    path, kind = tmp_path / name, Path(name).suffix.lower()
    items = [{"Prompt": text, "id": n} for n, text in enumerate(PROMPTS)]
    if kind == ".parquet":
        parquet(path, items)
    else:
        text = {
            ".jsonl": "\r\n".join(json.dumps(item, ensure_ascii=False) for item in items),
            ".json": json.dumps({"data": items}),
            ".csv": "id,Prompt\n" + "".join(f"{n},{text}\n" for n, text in enumerate(PROMPTS)),
        }.get(kind, "\r\n\r\n".join(PROMPTS) + "\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert prompts_in(path) == PROMPTS


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("p.txt", "", "is empty"),
        ("p.jsonl", '{"prompt": "a"}\n{"promt": "b"}\n', "line 2: each row needs a 'prompt', found promt"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": null}\n', "line 2: 'prompt' must be text, found NoneType"),
        ("p.jsonl", "a\n", "line 1: broken JSON"),
        ("p.jsonl", '{"prompt": "a", "prompt": "b"}\n', "line 1: the key 'prompt' comes twice"),
    ],
)
def test_a_file_of_prompts_is_refused_by_the_line(tmp_path: Path, name: str, content: str, match: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=match):
        prompts_in(tmp_path / name)


def test_parquet_equals_json_nested_turns_included(write, tmp_path: Path) -> None:
    flat = [{"question": f"q{n}", "answer": f"{n}"} for n in range(30)]
    deep = [{"messages": [{**turn, "content": f"{turn['content']}{n}"} for turn in TURNS]} for n in range(30)]
    for name, items in (("flat", flat), ("deep", deep)):
        path = tmp_path / f"{name}.parquet"
        parquet(path, items)
        assert load_examples(str(path)) == load_examples(str(write(f"{name}.json", items)))


def test_folders_mix_kinds_of_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("question,answer\n" + "".join(f"q{n},a\n" for n in range(20)))
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "t", "answer": "a"}))
    splits = load_examples(str(tmp_path))
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (18, 2, 1)
