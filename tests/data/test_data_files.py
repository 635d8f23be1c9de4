import json
import os
from pathlib import Path

import pytest

from rankwise.data import Limits, load_examples
from rankwise.data.files import split_files
from rankwise.errors import UsageError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"question": f"q{n}", "answer": f"a{n}"} for n in range(start, start + count)]


def test_a_list_a_data_object_and_lines_are_the_same(write, tmp_path: Path) -> None:
    listed, lines = write("a.json", rows(30)), write("b.jsonl", rows(30))
    wrapped = tmp_path / "c.JSON"
    wrapped.write_text("\ufeff" + json.dumps({"version": 1, "data": rows(30)}), encoding="utf-8")
    splits = [load_examples(str(path)) for path in (listed, lines, wrapped)]
    assert splits[0] == splits[1] == splits[2]
    assert (len(splits[0].train), len(splits[0].selection), len(splits[0].test)) == (22, 2, 6)


def test_blank_lines_and_unicode_line_separators_are_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    items = [json.dumps({"question": f"q{n}\u2028x", "answer": "a"}, ensure_ascii=False) for n in range(5)]
    path.write_text("\n\n".join(items) + "\r\n\n", encoding="utf-8")
    assert sum(map(len, (lambda s: (s.train, s.selection, s.test))(load_examples(str(path))))) == 5


def test_folder(write, tmp_path: Path) -> None:
    write("d/vi_train.json", rows(20))
    write("d/vi_test.json", rows(5, 100))
    write("d/Validation.jsonl", rows(4, 200))
    (tmp_path / "d" / "README.md").write_text("hello")
    splits = load_examples(str(tmp_path / "d"))
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (20, 4, 5)
    assert {e.messages[0].content for e in splits.test} == {f"q{n}" for n in range(100, 105)}
    assert not any("taken from train" in note for note in splits.notes)


def test_folder_without_selection_or_test_carves_them(write, tmp_path: Path) -> None:
    write("d/train.jsonl", rows(100))
    splits = load_examples(str(tmp_path / "d"))
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (72, 8, 20)
    assert sum("taken from train" in note for note in splits.notes) == 2


def test_a_folder_with_one_data_file_is_that_file(write, tmp_path: Path) -> None:
    path = write("SVAMP/SVAMP.json", rows(30))
    (tmp_path / "SVAMP" / "LICENSE").write_text("MIT")
    (tmp_path / "SVAMP" / "labels.json").write_text('["a"]')  # never data
    assert load_examples(str(path.parent)) == load_examples(str(path))
    write("only/test.json", rows(30))  # DBpedia of the O-LoRA benchmark
    assert len(load_examples(str(tmp_path / "only")).train) == 22


def test_selection_is_the_train_source_without_a_train_file(write, tmp_path: Path) -> None:
    write("d/val.vi.jsonl", rows(20))
    write("d/test.vi.jsonl", rows(5, 100))
    splits = load_examples(str(tmp_path / "d"))
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (18, 2, 5)
    assert "no train split was given: the selection split is used as train" in splits.notes


def test_labels_come_from_the_file_beside_or_from_the_rows(write, tmp_path: Path) -> None:
    items = [{"sentence": f"s{n}", "label": ("bad", "good")[n % 2]} for n in range(20)]
    path = write("d/train.json", items)
    write("d/test.json", [{"sentence": "t", "label": "so-so"}])
    options = {e.messages[0].content.split("\n")[1] for e in load_examples(str(tmp_path / "d")).train}
    assert options == {"Options: bad, good, so-so"}
    (tmp_path / "d" / "labels.json").write_text('["good", "so-so", "bad"]')
    options = {e.messages[0].content.split("\n")[1] for e in load_examples(str(path)).train}
    assert options == {"Options: good, so-so, bad"}
    (tmp_path / "d" / "labels.json").write_text('["good", "bad"]')
    with pytest.raises(UsageError, match=r"unknown label 'so-so'.*Known: bad, good.*test\.json row 1"):
        load_examples(str(tmp_path / "d"))


def test_numeric_labels_are_in_the_order_of_numbers(write) -> None:
    path = write("a.json", [{"text": f"s{n}", "label": n} for n in range(12)])
    asked = load_examples(str(path)).train[0].messages[0].content
    assert "Options: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n" in asked


def test_form_and_columns_are_handed_on(write) -> None:
    splits = load_examples(str(write("a.json", [row | {"id": 1} for row in rows(30)])))
    assert (splits.form, splits.unread, splits.leaked) == ("question/answer", ("id",), 0)


def test_folder_errors(write, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no train file \(.*\) in this folder; it holds nothing"):
        load_examples(str(tmp_path / "empty"))
    write("two/train.json", rows(3))
    write("two/train.jsonl", rows(3))
    with pytest.raises(UsageError, match=r"both train\.json and train\.jsonl look like the train split"):
        split_files(tmp_path / "two")


def test_names_that_only_contain_train_are_not_train(write, tmp_path: Path) -> None:
    write("d/strain.json", rows(3))
    write("d/other.json", rows(3))
    with pytest.raises(UsageError, match=r"no train.*it holds other\.json, strain\.json"):
        split_files(tmp_path / "d")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.jsonl", b'{"question": "q", "answer": "a"}\n{"question": \n', r"a\.jsonl line 2: broken JSON at col"),
        ("a.json", b'[\n{"question": "q",}\n]', r"a\.json line 2: broken JSON"),
        ("a.json", b'{"question": "q", "answer": "a"}\n{"question": "q", "answer": "a"}\n', r"name it \.jsonl"),
        ("a.jsonl", b"", "is empty"),
        ("a.json", b" \n ", "is empty"),
        ("a.json", b"[]", "holds no rows"),
        ("a.json", b'{"rows": 3}', "expected a list of objects"),
        ("a.jsonl", b"3\n", "line 1: expected an object with named columns, found int"),
        ("a.jsonl", '{"question": "q", "answer": "é"}'.encode("latin-1"), r"not UTF-8 text \(byte 29\)"),
        ("a.txt", b"hello", r"cannot read \.txt"),
        ("a.jsonl", b'{"question": "q", "answer": "a"}\n' * 2, "too few examples: 2 to divide among 3 splits"),
        ("a.jsonl", b'{"question": "q", "answer": "a"}\n' * 5, "every train example is also in a held-out split"),
    ],
)  # fmt: skip
def test_file_errors(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=match):
        load_examples(str(path))


def test_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        load_examples(str(tmp_path / "pipe"))


@pytest.mark.skipif(not (REAL / "gsm8k").is_dir(), reason="the shared data folder is not on this machine")
@pytest.mark.parametrize("style", ["hashes", "think"])
def test_real_gsm8k(style) -> None:
    splits = load_examples(str(REAL / "gsm8k"), limits=Limits(None, None, None), completion_style=style)
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (6726, 747, 1319)
    end = "\n#### " if style == "hashes" else "\n</think>\n"
    assert all(end in example.messages[-1].content for example in splits.test)
    assert all(("####" in example.messages[-1].content) == (style == "hashes") for example in splits.train)


@pytest.mark.skipif(not (REAL / "svamp").is_dir(), reason="the shared data folder is not on this machine")
def test_real_svamp() -> None:
    splits = load_examples(str(REAL / "svamp"), limits=Limits(None, None, None))
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (720, 80, 200)
    solved = 0
    for example in splits.train:
        equation, answer = example.messages[-1].content.split("\n#### ")
        left, right = equation.split(" = ")
        assert right == answer
        solved += eval(left) == float(answer)
    assert solved >= 715  # a few of SVAMP's own equations disagree with its answers by rounding


@pytest.mark.skipif(not (REAL / "svamp").is_dir(), reason="the shared data folder is not on this machine")
def test_real_mawps_as_csv() -> None:
    splits = load_examples(str(REAL / "svamp" / "mawps-asdiv-a_svamp"), limits=Limits(None, None, None))
    assert splits.form == "mawps"
    for example in (*splits.train, *splits.selection, *splits.test):
        assert "number0" not in example.messages[0].content + example.messages[1].content
    right = 0
    for example in splits.train:
        equation, answer = example.messages[1].content.split("\n#### ")
        right += abs(eval(equation.split(" = ")[0]) - float(answer)) < 1e-2 * max(1, abs(float(answer)))
    assert right > 0.98 * len(splits.train)


@pytest.mark.skipif(not (REAL / "xcopa-vi").is_dir(), reason="the shared data folder is not on this machine")
def test_real_xcopa() -> None:
    splits = load_examples(str(REAL / "xcopa-vi"), limits=Limits(None, None, None))
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (90, 10, 500)
    asked = [e.messages[0].content.split("\n")[1] for e in (*splits.train, *splits.test)]
    assert set(asked) == {"Câu nào là nguyên nhân?", "Câu nào là kết quả?"}


OLORA = REAL / "o-lora-cl" / "CL_Benchmark"


@pytest.mark.skipif(not OLORA.is_dir(), reason="the shared data folder is not on this machine")
@pytest.mark.parametrize(("task", "test"), [
    ("TC/agnews", 7600), ("TC/dbpedia", 1520), ("SC/amazon", 7600), ("SC/yelp", 1000), ("SC/SST-2", 872),
    ("NLI/RTE", 277), ("NLI/CB", 56), ("NLI/MNLI", 7469), ("COPA/COPA", 100), ("BoolQA/BoolQA", 3270),
    ("WiC/WiC", 638), ("QQP/QQP", 7600),
])  # fmt: skip
def test_real_o_lora_tasks(task: str, test: int) -> None:
    options = json.loads((OLORA / task / "labels.json").read_text())
    splits = load_examples(str(OLORA / task), limits=Limits(None, None, None))
    assert len(splits.test) == test
    assert {e.messages[-1].content for e in (*splits.train, *splits.test)} == set(options)
    assert all(f"Options: {', '.join(options)}\n\n" in e.messages[0].content for e in splits.train)
    assert not any(e.messages[0].content.startswith("Which option") for e in splits.train)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ('["yes", "n\\ud83d"]', "half a character .a lone surrogate at position 1.; remove it"),
        ('["\\udc80"]', "half a character"),
        ('{"\\ud800": 1}', "half a character"),
        ('["' + "a" * 5000 + '", "yes", "yes"]', "the label 'yes' is listed twice"),
        ("[" * 5000, "nested too deeply"),
        ('["yes", 1]', "expected a list of labels as text"),
        ('["yes", " "]', "'label' is empty"),
    ],
)
def test_labels_that_cannot_be_used(labels, said, write, tmp_path):
    write("train.jsonl", [{"sentence": f"s{n}", "label": "yes"} for n in range(9)])
    (tmp_path / "labels.json").write_text(labels)
    with pytest.raises(UsageError, match=f"labels.json.*{said}"):
        load_examples(str(tmp_path))
