import json

import pytest

from rankwise.errors import UsageError
from rankwise.studies.checkup import checkup


@pytest.fixture
def data(tmp_path):
    """Sixty problems, two of them in the test file as well, in a column order of their own."""
    rows = [{"Answer": f"a{n}", "Question": f"What is {n}?", "id": n} for n in range(60)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    held = [*rows[:2], *({"question": f"And {n}?", "answer": f"b{n}"} for n in range(40))]
    (tmp_path / "test.json").write_text(json.dumps(held))
    return tmp_path


def test_it_has_everything_as_json(data):
    found = checkup("tiny", str(data))
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found, sort_keys=True))
    assert set(found) == {"environment", "model", "data", "warnings", "preview"}
    facts = found["data"]
    assert facts["form"] == "question/answer"
    assert facts["columns_not_used"] == ["id"]
    assert facts["duplicates_across_splits"] == 2
    counts = {name: split["examples"] for name, split in facts["splits"].items()}
    assert counts["test"] == 42
    assert counts["train"] + counts["selection"] == 58
    assert facts["splits"]["train"]["tokens"]["median"] > facts["splits"]["train"]["targets"]["median"] >= 3
    assert facts["untouched_nll"] > 0
    assert any("2 examples were in a held-out split too" in warning for warning in found["warnings"])
    assert "Model" not in facts


def test_the_preview_is_the_first_training_example(data):
    preview = checkup("tiny", str(data))["preview"]
    learned = "".join(text for text, target in preview if target)
    read = "".join(text for text, target in preview if not target)
    assert learned.startswith("a")
    assert learned.endswith("<|im_end|>")
    assert f"What is {learned[1:].removesuffix('<|im_end|>')}?" in read


def test_it_refuses_a_set_whose_labels_are_all_masked(data):
    rows = [{"prompt": "p" * 400 + str(n), "completion": "c"} for n in range(60)]
    path = data / "long.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(UsageError, match=r"all labels are masked in the train split.*within 256 tokens.*at 402"):
        checkup("tiny", str(path))


def test_it_warns_when_examples_are_longer_than_the_model_reads(tmp_path, tiny_base):
    room = tiny_base.model.config.max_position_embeddings
    rows = [{"prompt": f"p{n}", "completion": "c" * (room + 10)} for n in range(60)]
    path = tmp_path / "long.json"
    path.write_text(json.dumps(rows))
    assert any(f"more than the {room:,} tiny can read" in said for said in checkup("tiny", str(path))["warnings"])


def test_generated_data_need_no_file():
    facts = checkup("tiny", "code-book")["data"]
    assert facts["form"] == "generated"
    assert facts["splits"]["train"]["repeats"] == 0
