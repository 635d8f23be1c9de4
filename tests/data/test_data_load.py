from pathlib import Path

import pytest

from rankwise.data import NAMES, Limits, load_data, load_examples
from rankwise.data.load import fingerprint
from rankwise.errors import UsageError

from .conftest import make_tokenizer

SMALL = Limits(8, 4, 4)


@pytest.mark.parametrize("spec", NAMES)
def test_generated_data_load(spec: str, tokenizer) -> None:
    splits = load_data(spec, tokenizer, limits=SMALL)
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (8, 4, 4)
    assert splits.name == spec
    end = tokenizer.eos_token_id
    for encoded in (*splits.train, *splits.selection, *splits.test):
        assert encoded.input_ids[-1] == end
        assert encoded.target_mask[-1]
        assert 0 < encoded.targets < len(encoded.input_ids)
        learned = [t for t, target in zip(encoded.input_ids, encoded.target_mask, strict=True) if target]
        assert learned.count(end) == 1


def test_the_fingerprint_follows_ids_masks_and_borders(tokenizer) -> None:
    one, again = (load_data("word-problems", tokenizer, limits=SMALL) for _ in range(2))
    assert one == again
    assert len(one.fingerprint) == 64
    changed = (
        load_data("word-problems", tokenizer, limits=SMALL, seed=1),
        load_data("word-problems", tokenizer, limits=Limits(8, 4, 3)),
        load_data("word-problems", tokenizer, limits=SMALL, completion_style="think"),
        load_data("word-problems", make_tokenizer(None), limits=SMALL),
    )
    assert len({one.fingerprint, *(splits.fingerprint for splits in changed)}) == 5
    a, b = one.train[:1], one.train[1:2]
    assert len({fingerprint(a, b, ()), fingerprint(b, a, ()), fingerprint(a + b, (), ())}) == 3


def test_system_message_on_files(write, tokenizer) -> None:
    reply = {"role": "assistant", "content": "yes"}
    own = [{"role": "system", "content": "own"}, {"role": "user", "content": "q"}, reply]
    bare = [[{"role": "user", "content": f"q{n}"}, reply] for n in range(9)]
    path = write("a.jsonl", [{"messages": turns} for turns in (own, *bare)])
    splits = load_examples(str(path), system="Be brief.")
    first = [e.messages[0].content for e in (*splits.train, *splits.selection, *splits.test)]
    assert sorted(set(first)) == ["Be brief.", "own"]
    assert "1 examples keep the system message of their own" in splits.notes


def test_system_message_on_plain_text_is_refused(write) -> None:
    path = write("a.jsonl", [{"prompt": f"p{n}", "completion": "c"} for n in range(9)])
    with pytest.raises(UsageError, match="a system message needs conversations"):
        load_examples(str(path), system="Be brief.")


def test_think_without_explanations_is_said(write) -> None:
    path = write("a.jsonl", [{"question": f"q{n}", "answer": "c"} for n in range(9)])
    assert "completion style think leaves 9 examples" in load_examples(str(path), completion_style="think").notes[-1]
    assert "completion style think" in load_examples("code-book", limits=SMALL, completion_style="think").notes[-1]
    assert "completion style" not in " ".join(load_examples("word-problems", completion_style="think").notes)


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("word-problem", "unknown data 'word-problem'; did you mean 'word-problems'"),
        ("word-problems:fr", "unknown data 'word-problems:fr'.*word-problems:vi"),
        ("", "unknown data ''"),
        ("nowhere.jsonl", "no such file or folder: nowhere.jsonl"),
        ("data/nowhere.csv", "no such file or folder: data/nowhere.csv"),
        ("/no/such/folder", "no such file or folder: /no/such/folder"),
    ],
)
def test_unknown_spec(tokenizer, spec: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        load_data(spec, tokenizer)


def test_bad_arguments(tokenizer) -> None:
    with pytest.raises(UsageError, match=r"limits\.test must be at least 1, found 0"):
        load_data("code-book", tokenizer, limits=Limits(4, 1, 0))
    with pytest.raises(UsageError, match="max_length must be at least 2 tokens"):
        load_data("code-book", tokenizer, max_length=1)
    with pytest.raises(UsageError, match="unknown completion style 'thinks'; did you mean 'think'"):
        load_data("code-book", tokenizer, completion_style="thinks")
    with pytest.raises(UsageError, match="all labels are masked in the train split"):
        load_data("code-book", tokenizer, max_length=10)


def test_a_local_path_wins_over_a_hub_id(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("owner/name/train.jsonl", [{"question": f"q{n}", "answer": "c"} for n in range(9)])
    monkeypatch.chdir(tmp_path)
    assert load_examples("owner/name").train


def test_importing_the_room_is_light() -> None:
    import subprocess
    import sys

    code = "import sys, rankwise.data; print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
