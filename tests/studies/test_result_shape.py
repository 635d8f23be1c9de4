"""A result file of another shape is told in one sentence; what passes can be shown and acted on."""

import copy
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from rankwise.cli.main import main
from rankwise.errors import UsageError
from rankwise.report import render_table
from rankwise.report.next_step import next_step
from rankwise.studies.results.file import check_results, read_results
from tests.report.fixtures import documents

QUICK = documents.quick()["results"]
SOUND = ["quick", "no_verdict", "screened", "gone_wrong", "all_diverged", "hostile"]
OTHERS = (None, -5, "x", True, [], {}, [None], {"a": 5})
GONE = object()


def places(value, at=()):
    """Every entry of a document, the first and the last of a list."""
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*at, key))
    elif isinstance(value, list) and value:
        for n in {0, len(value) - 1}:
            yield from places(value[n], (*at, n))


def changed(document, at, new):
    if not at:
        return new
    found = copy.copy(document)
    if new is GONE and len(at) == 1:
        del found[at[0]]
    else:
        found[at[0]] = changed(document[at[0]], at[1:], new)
    return found


@pytest.mark.parametrize("name", SOUND)
def test_documents_of_every_outcome_have_the_shape(name, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(getattr(documents, name)(), default=str))
    read_results(path)


def told_or_shown(sound, show, others=OTHERS):
    """Change every entry of a document; return what is said of it, and how often the rest can be shown."""
    told, shown = [], 0
    for at in places(sound):
        for new in (*others, *([GONE] if at else [])):
            document = changed(sound, at, new) if at else {"results": new}
            try:
                check_results(document, Path("results.json"))
            except UsageError as error:
                told.append(str(error))
                continue
            shown += 1
            show(document)
    sentence = r"results\.json(: results of kind| holds no results| is not a result file: \w+).{1,200}"
    assert [text for text in told if not re.fullmatch(sentence, text)] == []
    return len(told), shown


def test_any_entry_of_another_kind_is_told_or_does_not_matter():
    sound = documents.quick()
    sound["results"]["arms"] = sound["results"]["arms"][:2]

    def show(document):
        render_table(document, Console(file=io.StringIO(), width=100))
        next_step(document)

    told, shown = told_or_shown(sound, show)
    assert told > 500
    assert shown > 100


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"arms": 5}, "results.study is missing"),
        ({"kind": "stream", "arms": []}, "results.study is missing"),
        ({"kind": "events", "study": 5}, "results.study must be an object, found 5"),
        ({"kind": "x"}, "results of kind 'x' are not known"),
        ({"kind": ["stream"]}, "results of kind ['stream'] are not known"),
        ({**QUICK, "arms": [None]}, "results.arms.0 must be an object, found None"),
        ({**QUICK, "arms": []}, "results.arms"),
        (
            {**documents.quick()["results"], "base": {"selection_nll": "1", "test_nll": 1}},
            "must be a number, found '1'",
        ),
    ],
)
@pytest.mark.parametrize("how", [[], ["--json"]])
def test_report_says_it(results, said, how, tmp_path, capsys):
    document = {**documents.quick(), "results": results}
    (tmp_path / "results.json").write_text(json.dumps(document))
    assert main(["report", str(tmp_path), *how]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
