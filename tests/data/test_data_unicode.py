"""A text in composed and in decomposed letters is the same text, wherever texts are compared."""

import json
import unicodedata

import pytest

from rankwise.data import Example, ExampleSplits, Message, load_examples, profile
from rankwise.data.answers import gold_answer, is_right

COMPOSED, DECOMPOSED = (lambda text, form=form: unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
BOTH = [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)]
WORDS = ["tiêu cực", "tích cực", "Ế ẩm", "Ångström", "한국어", "naïve café"]


def question(text, label):
    return {"question": text, "answer": label}


def chat(text, label):
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": label}]}


def pair(text, label):
    return {"prompt": text, "completion": label}


def labeled(text, label):
    return {"text": text, "label": label}


@pytest.fixture
def folder(tmp_path):
    """Write splits of rows into a folder, letters as they are."""

    def to(**splits):
        for name, rows in splits.items():
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        return str(tmp_path)

    return to


@pytest.mark.parametrize("spelled", BOTH)
@pytest.mark.parametrize("row", [question, chat, pair, labeled])
def test_leaked_rows_are_seen_and_the_text_stays_as_it_is(folder, row, spelled) -> None:
    one, other = spelled
    train = [row(one(f"câu hỏi {n}"), "tích cực") for n in range(20)]
    test = [row(other(f"câu hỏi {n}"), "tích cực") for n in range(5)]
    splits = load_examples(folder(train=train, validation=train[10:13], test=test))
    assert splits.leaked == 5 + 3
    asked = {example.messages[0].content.split("\n")[-1] for example in splits.train}
    assert asked == {one(f"câu hỏi {n}") for n in (*range(5, 10), *range(13, 20))}


@pytest.mark.parametrize("spelled", BOTH)
@pytest.mark.parametrize("word", WORDS)
def test_a_label_is_one_class(folder, word, spelled) -> None:
    one, other = spelled
    train = [labeled(f"t{n}", (one, other)[n % 2](word) if n % 3 else "x") for n in range(30)]
    splits = load_examples(folder(train=train, test=[labeled("u", other(word))]))
    assert splits.unseen == ()
    options = ", ".join(sorted([COMPOSED(word), "x"]))
    examples = (*splits.train, *splits.selection, *splits.test)
    assert {example.messages[0].content.split("\n")[1] for example in examples} == {f"Options: {options}"}
    assert {example.messages[1].content for example in examples} == {COMPOSED(word), "x"}


@pytest.mark.parametrize("spelled", BOTH)
def test_labels_that_are_spelled_in_one_way_stay_so(folder, tmp_path, spelled) -> None:
    one, other = spelled
    rows = [labeled(f"t{n}", one(WORDS[n % 2])) for n in range(20)]
    assert {e.messages[1].content for e in load_examples(folder(train=rows)).train} == set(map(one, WORDS[:2]))
    (tmp_path / "labels.json").write_text(json.dumps([other(word) for word in WORDS[:2]]))
    assert {e.messages[1].content for e in load_examples(folder(train=rows)).train} == set(map(other, WORDS[:2]))


@pytest.mark.parametrize("spelled", BOTH)
def test_a_profile_counts_repeats_prompts_and_replies(tokenizer, spelled) -> None:
    other = spelled[1]

    def item(text, reply):
        return Example((Message("user", text), Message("assistant", reply)), chat=False)

    train = tuple(item(form(f"câu {n}"), form("rõ ràng")) for form in spelled for n in range(30))
    test = tuple(item(other(f"câu {n}"), "khác") for n in range(40))
    found = profile(ExampleSplits(train, test[30:], test), tokenizer, max_length=99)
    assert (found.splits["train"].repeats, found.same_prompt) == (30, 30)
    assert any("60 of 60 training examples have the same reply" in said for said in found.warnings)


@pytest.mark.parametrize("spelled", BOTH)
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("frame", ["{}", "{}.", "nghĩ\n#### {}", "<think>\na\n</think>\n{}"])
def test_answers_agree(frame, word, spelled) -> None:
    one, other = spelled
    assert is_right(frame.format(other(word).upper()), gold_answer(frame.format(one(word))))


@pytest.mark.parametrize("space", ["\u00a0", "\u2007", "\u2009", "\u202f"])
def test_a_space_that_does_not_break_is_part_of_a_number(space) -> None:
    written, gold = f"1{space}250{space}000", gold_answer("#### 1250000")
    for reply in (written, f"#### {written}{space}đồng", f"Tổng: {written},50 -> {written}", f"{written}{space}%"):
        assert is_right(reply, gold)
    assert is_right("1.250.000", gold_answer(f"#### {written}{space}₫"))
    assert not is_right(f"2024{space}150", gold_answer("2024150"))
    assert is_right(f"2024{space}150", gold_answer("150"))


def test_a_stream_knows_a_training_example_that_its_test_spells_otherwise(folder, tmp_path) -> None:
    from rankwise.continual.stream import resolve_stream
    from rankwise.continual.tasks import load_tasks
    from rankwise.models import load_base

    (tmp_path / "other").mkdir()
    own = folder(
        train=[question(COMPOSED(f"câu {n}"), "có") for n in range(20)],
        validation=[question("v", "y"), question("w", "y")],
        test=[question("x", "y"), question("z", "y")],
    )
    tested = tmp_path / "other" / "test.jsonl"
    rows = [question(DECOMPOSED(f"câu {n}"), "có") for n in range(20)]
    tested.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    task = {"id": "a", "data": own, "evaluation": str(tested)}
    values = {
        "scale": "smoke",
        "model": "tiny",
        "strategies": ["sequential"],
        "tasks": [task, {"id": "b", "data": own}],
    }
    config = resolve_stream({**values, "steps": 2, "train": 20, "test": 20})
    loaded = load_tasks(config, load_base("tiny"))["a"]
    assert "a: 4 test examples are also training examples" in loaded.notes
    assert len(loaded.test) == 4
