import csv
import json
from pathlib import Path

import pytest

from rankwise.data import hub, load_examples
from rankwise.data.forms.text import text_of
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


# a number as a file has it, and the text that it becomes
JSON_NUMBERS = {
    "132.04": "132.04", "132.040": "132.04", "51.0": "51", "-0.0": "0", "1e23": "1e+23", "1E+23": "1e+23",
    "0.00001": "1e-05", "1e-7": "1e-07", "123456789.125": "123456789.125", "0.1": "0.1", "1e400": "1e400",
    "99999999999999999999999": "99999999999999999999999", "3.14159265358979323846": "3.14159265358979323846",
    "12345678901234567890.0": "12345678901234567890", "1e99999999999999999999": "1e99999999999999999999",
    "9" * 400: "9" * 400,
}  # fmt: skip


@pytest.mark.parametrize("written", JSON_NUMBERS)
def test_a_json_number_keeps_its_digits(tmp_path: Path, written: str) -> None:
    for path, text in ((tmp_path / "a.json", "[%s]"), (tmp_path / "a.jsonl", "%s\n")):
        path.write_text(text % f'{{"question": "q", "answer": {written}}}')
        ((where, row),) = rows_of(path)
        assert text_of(row["answer"], "answer", where) == JSON_NUMBERS[written]


def narrow():
    """Columns of every kind of number, and what each of their values is as text."""
    from decimal import Decimal

    import numpy as np
    import pyarrow as pa

    values = [132.04, 1e23, 0.1, 51.0, 1 / 3]
    by_hand = ["132.04", "1e+23", "0.1", "51", "0.33333334"]
    turn = pa.list_(pa.struct([("role", pa.string()), ("content", pa.float32())]))
    columns = {
        "double": (pa.array(values), [*by_hand[:4], "0.3333333333333333"]),
        "single": (pa.array(values, pa.float32()), by_hand),
        "half": (pa.array(np.array([0.1, 132, 51, 0.5, 2], np.float16)), ["0.1", "132", "51", "0.5", "2"]),
        "decimal": (
            pa.array([Decimal(v) for v in ("132.04", "1.50", "100.00", "0.00", "-7.10")], pa.decimal128(20, 2)),
            ["132.04", "1.5", "100", "0", "-7.1"],
        ),
        "whole": (pa.array([2**53 + 1, 0, -5, 10, 7]), [str(2**53 + 1), "0", "-5", "10", "7"]),
        "listed": (pa.array([[v] for v in values], pa.list_(pa.float32())), by_hand),
        "turns": (pa.array([[{"role": "a", "content": v}] for v in values], turn), by_hand),
        "named": (pa.array([{"at": v} for v in values], pa.struct([("at", pa.float32())])), by_hand),
        "mapped": (pa.array([[("k", v)] for v in values], pa.map_(pa.string(), pa.float32())), by_hand),
    }
    return pa.table({name: column for name, (column, _) in columns.items()}), {k: v for k, (_, v) in columns.items()}


def leaf(value):
    """The number inside."""
    while isinstance(value, list | tuple | dict):
        value = list(value.values())[-1] if isinstance(value, dict) else value[-1]
    return value


@pytest.mark.parametrize("source", ["parquet", "hub"])
def test_arrow_numbers_have_the_digits_of_their_own_precision(tmp_path: Path, source: str) -> None:
    import pyarrow.parquet

    table, expected = narrow()
    if source == "parquet":
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        rows = [row for _, row in rows_of(tmp_path / "a.parquet")]
    else:
        import datasets

        kept = table.drop_columns(["mapped"])  # which the library has no feature for
        split = datasets.Dataset(kept)
        rows = [hub._exact(split)(row) for row in split]
    for name in rows[0]:
        assert [text_of(leaf(row[name]), name, "w") for row in rows] == expected[name], name


def test_missing_and_broken_numbers_are_still_told(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    pa.parquet.write_table(
        pa.table({"a": pa.array([None, float("nan"), float("inf")], pa.float32())}), tmp_path / "a.parquet"
    )
    for (_, row), match in zip(rows_of(tmp_path / "a.parquet"), ("found NoneType", "is nan", "is inf"), strict=True):
        with pytest.raises(UsageError, match=match):
            text_of(row["a"], "a", "w")
