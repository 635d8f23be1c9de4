import csv
import json
from pathlib import Path

from rankwise.data import load_examples
from rankwise.data.readers import rows_of

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


def test_parquet_equals_json_nested_turns_included(write, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    flat = [{"question": f"q{n}", "answer": f"{n}"} for n in range(30)]
    deep = [{"messages": [{**turn, "content": f"{turn['content']}{n}"} for turn in TURNS]} for n in range(30)]
    for name, items in (("flat", flat), ("deep", deep)):
        path = tmp_path / f"{name}.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(items), path)
        assert load_examples(str(path)) == load_examples(str(write(f"{name}.json", items)))


def test_folders_mix_kinds_of_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("question,answer\n" + "".join(f"q{n},a\n" for n in range(20)))
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "t", "answer": "a"}))
    splits = load_examples(str(tmp_path))
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (18, 2, 1)
