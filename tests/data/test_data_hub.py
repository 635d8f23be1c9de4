import sys
from types import ModuleType

import pytest

from rankwise.data import hub, load_examples
from rankwise.errors import UsageError


def pretend(monkeypatch: pytest.MonkeyPatch, load) -> None:
    """Stand in for the datasets library."""
    module = ModuleType("datasets")
    module.load_dataset = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setattr(hub, "_reachable", lambda: True)


def rows(count: int, start: int) -> list[dict[str, str]]:
    return [{"question": f"q{n}", "answer": f"a{n}"} for n in range(start, start + count)]


def test_name_config_and_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(name: str, config: str | None):
        asked.append((name, config))
        return {"train": rows(30, 0), "validation": rows(3, 50), "test": rows(5, 100)}

    pretend(monkeypatch, load)
    splits = load_examples("openai/gsm8k:main")
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (30, 3, 5)
    load_examples("hllj/vi_gsm8k")
    assert asked == [("openai/gsm8k", "main"), ("hllj/vi_gsm8k", None)]


def test_any_failure_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, config: str | None):
        raise ConnectionError("no route\nlong trace")

    pretend(monkeypatch, load)
    with pytest.raises(UsageError, match=r"no local file.*'a/b'.*hub \(no route\).*give a local") as caught:
        load_examples("a/b")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("splits", "match"),
    [
        ({"unsupervised": rows(3, 0)}, "no train split; it has unsupervised"),
        ({"train": []}, "the train split is empty"),
        ({"train": rows(3, 0), "validation": rows(3, 9), "dev": rows(3, 9)}, "more than one selection split"),
        ({"train": [{"text": "x"}]}, "a/b train row 1: cannot tell what the columns mean; found text"),
    ],
)
def test_unusable_splits(monkeypatch: pytest.MonkeyPatch, splits, match: str) -> None:
    pretend(monkeypatch, lambda name, config: splits)
    with pytest.raises(UsageError, match=match):
        load_examples("a/b")


def test_one_split_or_validation_and_test_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, lambda name, config: {"test": rows(30, 0)})
    assert len(load_examples("a/b").train) == 22
    pretend(monkeypatch, lambda name, config: {"validation": rows(20, 0), "test": rows(5, 100)})
    splits = load_examples("a/b")
    assert (len(splits.train), len(splits.selection), len(splits.test)) == (18, 2, 5)


def test_class_names_turn_numbers_into_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"sentence": Value("string"), "label": ClassLabel(names=["negative", "positive"])})

    def split(count: int, start: int, label: int | None = None) -> Dataset:
        texts = [f"s{n}" for n in range(start, start + count)]
        labels = [n % 2 if label is None else label for n in range(count)]
        return Dataset.from_dict({"sentence": texts, "label": labels}, features=features)

    loaded = {"train": split(20, 0), "validation": split(4, 50), "test": split(3, 90)}
    hidden = loaded | {"test": split(3, 90, -1)}
    pretend(monkeypatch, lambda name, config: loaded)
    example = load_examples("stanfordnlp/sst2").train[0]
    assert example.messages[0].content.startswith("How does the writer feel?\nOptions: negative, positive\n\ns")
    assert example.messages[1].content in ("negative", "positive")
    pretend(monkeypatch, lambda name, config: hidden)
    with pytest.raises(UsageError, match="a/b test row 1: neither this row nor any after it has an answer"):
        load_examples("a/b")


def test_without_network_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "https://nowhere.invalid")
    assert not hub._reachable()
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:1")
    assert hub._reachable()
