"""A stream: what strategies share and keep, what resumes, what may be appended, and the pages."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from rich.console import Console

from rankwise.cli.main import main
from rankwise.continual.conductor import run_chain
from rankwise.continual.folder import TASKS as PRINTS
from rankwise.continual.scoring import measure
from rankwise.data import InputForm, common_form
from rankwise.engine import Forward, evaluate, greedy, prompt_of
from rankwise.errors import RunError, UsageError
from rankwise.execution import restore
from rankwise.execution.progress import Progress
from rankwise.ledger.store import Ledger

from .conftest import ALL, TASKS, stream


def strategy(document, label):
    return next(s for s in document["results"]["strategies"] if s["label"] == label)


def R(document, label, metric="nll"):
    return np.array(strategy(document, label)["chains"][0]["R"][metric])


def test_every_strategy_is_there(whole):
    _, document = whole
    labels = [s["label"] for s in document["results"]["strategies"]]
    assert labels == ["sequential", "per_task", "replay", "ewc", "olora_cl", "olora_cl-norm=l2sq", "overlap", "project",
                      "clora", "colora_note", "online_lora", "color"]  # fmt: skip
    assert document["results"]["faults"] == []
    for label in labels:
        found = R(document, label)
        assert found.shape == (4, 3)
        assert np.isfinite(found).all()
        assert found[1, 0] < found[0, 0], "the first task was learned"


def test_equal_beginnings_are_shared(whole):
    """Before there is anything to stay away from, these are one run."""
    _, document = whole
    first = strategy(document, "sequential")["chains"][0]
    for label in ("per_task", "olora_cl", "overlap", "project", "replay", "color"):
        chain = strategy(document, label)["chains"][0]
        assert chain["losses"][0] == first["losses"][0]
        assert chain["frozen_sha256"]["en"] == first["frozen_sha256"]["en"]
        if label not in ("per_task", "color"):
            assert chain["R"]["nll"][1] == first["R"]["nll"][1]
        assert chain["losses"][1] != first["losses"][1]


def test_an_adapter_per_task_forgets_nothing(whole):
    _, document = whole
    found = strategy(document, "per_task")["measures"]
    assert found["nll"]["BWT"]["estimate"] == 0
    assert found["nll"]["AP"] == found["nll"]["learned"]
    assert found["nll"]["FWT"]["estimate"] == 0, "a task that was not learned is the base's"


def test_growth(whole):
    _, document = whole
    for label, ranks in (("sequential", [4, 4, 4]), ("olora_cl", [4, 8, 12]), ("per_task", [4, 8, 12])):
        growth = strategy(document, label)["growth"]
        assert [g["rank"] for g in growth] == ranks
        assert [g["numbers"] / growth[0]["numbers"] for g in growth] == [r / 4 for r in ranks]


def test_growth_counts_what_is_remembered_besides_pairs(whole, tiny_base):
    _, document = whole
    for label in ("ewc", "online_lora"):
        last = strategy(document, label)["growth"][-1]
        assert last["centroids"] == last["examples"] == 0
    ewc = strategy(document, "ewc")["growth"]
    assert [g["memory"] for g in ewc] == [2 * ewc[0]["numbers"]] * 3, "Fisher information and old values of every entry"
    assert [g["examples"] for g in strategy(document, "replay")["growth"]] == [1, 2, 3], "a tenth of 12, of each task"
    width = tiny_base.model.config.hidden_size
    assert [g["centroids"] for g in strategy(document, "color")["growth"]] == [n * (5 * width + 1) for n in (1, 2, 3)]
    assert {g["memory"] for g in strategy(document, "sequential")["growth"]} == {0}


def test_cost_is_told_for_all(whole):
    _, document = whole
    times = document["cost"]["by_strategy"]
    assert list(times) == [s["label"] for s in document["results"]["strategies"]]
    assert min(*times.values(), document["cost"]["joint"]) > 0
    joint, first = document["results"]["joint"], strategy(document, "sequential")
    assert joint["examples"] == first["examples"] == 3 * 3 * 4
    assert joint["flops"] > 0
    assert strategy(document, "olora_cl")["bytes"] >= first["bytes"] > 0
    assert set(first["versus_joint"]) == {"exact_match", "nll"}


def test_the_router_is_saved_beside_its_experts(whole, tiny_base):
    """From the files alone: the same routes as the stream took."""
    from rankwise.continual.router import Region, features, route
    from rankwise.continual.tasks import load_tasks

    folder, _ = whole
    place = folder / "adapters" / "color"
    found = json.loads((place / "router.json").read_text())
    assert all((place / one["folder"] / "adapter_model.safetensors").exists() for one in found["experts"].values())
    assert found["model_fingerprint"] == tiny_base.fingerprint
    regions = {name: Region.from_dict(one) for name, one in found["experts"].items()}
    chains = json.loads((folder / "R.json").read_text())["chains"]
    routes = next(chain["routes"][-1] for chain in chains if chain["strategy"] == "color")
    tasks, forward = load_tasks(stream(), tiny_base), Forward(tiny_base.model)
    for name, loaded in tasks.items():
        assert route(features(forward, loaded.test), regions, found["abstain"]) == routes[name]


def test_penalties_are_logged_from_the_second_task_on(whole):
    _, document = whole
    for label in ("olora_cl", "overlap"):
        penalties = strategy(document, label)["chains"][0]["penalties"]
        assert penalties[0] == {}
        assert len(penalties[1]["overlap"]) == 3
    share = strategy(document, "overlap")["chains"][0]["penalties"][2]["overlap"]
    assert all(0 < value < 1 for value in share)
    assert len(strategy(document, "colora_note")["chains"][0]["penalties"][0]["colora-note"]) == 3


def test_projected_tasks_are_orthogonal_to_earlier_ones(whole):
    folder, document = whole
    from safetensors.torch import load_file

    found = load_file(folder / "adapters" / "project" / "adapter_model.safetensors")
    A = [v.double() for k, v in found.items() if k.endswith("lora_A.weight")]
    assert A
    for pairs in A:  # the last task's rows first, then the frozen ones
        new, old = pairs[:4], pairs[4:]
        cosines = (new / new.norm(dim=1, keepdim=True)) @ (old / old.norm(dim=1, keepdim=True)).T
        assert float(cosines.abs().max()) < 1e-5
    assert document["results"]["saved"][0]["error"] == 0


def test_saved_adapters_are_the_states(whole, tiny_base):
    """The exact sum of all pairs, loaded as plain LoRA, has the last row's scores."""
    from rankwise.adapters import load
    from rankwise.continual.tasks import load_tasks

    folder, document = whole
    tasks = load_tasks(stream(), tiny_base)
    for label in ("sequential", "olora_cl", "online_lora"):
        handle = load(tiny_base.model, folder / "adapters" / label)
        try:
            forward = Forward(tiny_base.model)
            again = [evaluate(forward, tasks[name].test).mean for name in ("en", "vi", "code")]
        finally:
            handle.detach()
        assert again == pytest.approx(R(document, label)[3], abs=1e-4)


def test_beside_each_adapter_lies_how_its_training_data_were_written(whole, tiny_base):
    from rankwise.continual.tasks import load_tasks
    from rankwise.models import read_form

    place = whole[0] / "adapters"
    forms = {name: loaded.form for name, loaded in load_tasks(stream(), tiny_base).items()}
    assert None not in forms.values()
    assert {name: read_form(place / "per_task" / name) for name in forms} == forms
    assert read_form(place / "color" / "vi") == forms["vi"]
    for label in ("sequential", "olora_cl", "online_lora"):
        assert read_form(place / label) == common_form(forms.values())


@pytest.mark.parametrize(
    ("forms", "common"),
    [
        ([InputForm(True, "a"), InputForm(True, "a")], InputForm(True, "a")),
        ([InputForm(True, "a"), InputForm(True, "b")], InputForm(True)),
        ([InputForm(True, "a"), InputForm(True)], InputForm(True)),
        ([InputForm(False)], InputForm(False)),
        ([InputForm(True), InputForm(False)], None),
        ([InputForm(True), None], None),
        ([InputForm(True), InputForm(True, completion_style="think")], None),
    ],
)
def test_what_forms_have_in_common(forms, common):
    assert common_form(forms) == common


def test_exact_match_is_what_greedy_decoding_gives(tiny_base, tiny_splits):
    examples = tiny_splits.test[:4]
    forward = Forward(tiny_base.model)
    scored = measure(forward, None, examples)
    assert sum(scored.nll) == pytest.approx(sum(evaluate(forward, examples).nll), rel=1e-5)
    said = greedy(tiny_base, [prompt_of(e) for e in examples], max_new_tokens=4)
    assert len(said) == len(scored.right)
    assert not any(scored.right), "a random model does not know the answers"
    from rankwise.data import Encoded

    first = examples[0]
    prompt = torch.tensor([prompt_of(first)])
    with torch.no_grad():
        token = int(tiny_base.model(prompt).logits[0, -1].argmax())
    own = Encoded((*prompt_of(first), token), (False,) * len(prompt_of(first)) + (True,))
    assert measure(forward, None, [own]).right == (True,)


def test_the_router_and_its_gap(whole):
    _, document = whole
    router = strategy(document, "color")["router"]
    assert 0 <= router["right"] <= 1
    assert router["oracle_gap"]["nll"]["estimate"] >= -1
    told, routed = R(document, "per_task"), R(document, "color")
    assert routed[3] == pytest.approx(told[3], abs=2.0)


def test_r_is_kept_per_example(whole):
    folder, document = whole
    chains = json.loads((folder / "R.json").read_text())["chains"]
    chain = next(c for c in chains if c["strategy"] == "sequential")
    assert len(chain["rows"]) == 4
    assert all(len(chain["rows"][i][name]["nll"]) == 4 for i in range(4) for name in ("en", "vi", "code"))
    assert document["results"]["joint"]["AP"]["nll"]["estimate"] < 0


def test_again_is_the_same_and_trains_nothing(whole):
    folder, document = whole
    before = json.loads((folder / "R.json").read_text())
    again = run_chain(stream(strategies=ALL, references=["joint"]), folder)
    assert json.dumps(again["results"], sort_keys=True) == json.dumps(document["results"], sort_keys=True)
    assert json.loads((folder / "R.json").read_text()) == before


def test_the_page(whole, capsys):
    folder, _ = whole
    assert main(["report", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "2310.14152" in shown
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "LM Loss: " in html
    assert "CLoRA Loss: " in html
    assert "<script" not in html
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {"R", "curves", "kept", "growth"}


def test_the_page_of_an_older_document(whole, tmp_path):
    """Fields that an older rankwise did not write are left out; the study's pages of the docs are made from such."""
    from rankwise.report.simple_page import markdown
    from rankwise.report.stream_page import page

    _, document = whole
    now = markdown(page(document), "rankwise chain", {})
    assert "## Beside all tasks mixed" in now
    assert "do not route" in now
    assert now.count("0 the untouched base") == len(ALL)
    old = json.loads(json.dumps(document))
    del old["cost"]["by_strategy"], old["cost"]["joint"]
    for entry in old["results"]["strategies"]:
        del entry["versus_joint"], entry["bytes"]
        for growth in entry["growth"]:
            del growth["memory"], growth["centroids"], growth["examples"]
    for name in ("seeds", "flops", "examples", "bytes"):
        del old["results"]["joint"][name]
    then = markdown(page(old), "rankwise chain", {})
    assert "## Beside all tasks mixed" not in then
    assert "## Growth" in then
    assert "joint (reference)" in then, "in the tables of measures"


def test_tasks_are_appended_and_finished_ones_stay(tmp_path):
    """Two tasks, then a third and a second seed: what was learned is not trained again, and R grows by a row."""
    two = run_chain(stream(tasks=TASKS[:2], strategies=["olora_cl"]), tmp_path / "out")
    with Ledger(tmp_path / "out") as ledger:
        before = {run.key: run.finished for run in ledger.runs()}
    three = run_chain(stream(strategies=["olora_cl", "sequential"]), tmp_path / "out")
    assert R(three, "olora_cl")[:3, :2].tolist() == R(two, "olora_cl").tolist()
    with Ledger(tmp_path / "out") as ledger:
        after = {run.key: run.finished for run in ledger.runs()}
    assert {key: after[key] for key in before} == before
    fresh = run_chain(stream(strategies=["olora_cl", "sequential"]), tmp_path / "fresh")
    assert json.dumps(fresh["results"], sort_keys=True) == json.dumps(three["results"], sort_keys=True)


def changed(path):
    """One number of a frozen adapter."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = next(key for key in tensors if key.endswith(".A"))
    tensors[name][0, 0] += 1e-3
    save_file(tensors, path, metadata)


DAMAGES = {
    "changed": changed,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "no file of its kind": lambda path: path.write_bytes(b"[" * 5000),
    "gone": lambda path: path.unlink(),
}


class Notes(Progress):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def two_tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "out"
    run_chain(stream(tasks=TASKS[:2]), folder)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_made_again_bit_for_bit(damage, two_tasks, tmp_path):
    shutil.copytree(two_tasks, tmp_path / "out")
    path = sorted((tmp_path / "out" / "runs").glob("*/state.safetensors"))[0]
    whole, ledger = path.read_bytes(), (tmp_path / "out" / "ledger.sqlite").read_bytes()
    DAMAGES[damage](path)
    notes = Notes()
    again = run_chain(stream(tasks=TASKS[:2]), tmp_path / "out", progress=notes)
    assert [text for text in notes.said if f"is trained again and held against the ledger: {path}" in text]
    assert path.read_bytes() == whole
    assert (tmp_path / "out" / "ledger.sqlite").read_bytes() == ledger
    before = json.loads((two_tasks / "results.json").read_text())["results"]
    assert json.dumps(again["results"], sort_keys=True) == json.dumps(before, sort_keys=True)


def test_a_damaged_state_that_cannot_be_made_again_is_an_error(two_tasks, tmp_path, monkeypatch):
    shutil.copytree(two_tasks, tmp_path / "out")
    changed(next((tmp_path / "out" / "runs").glob("*/state.safetensors")))
    own = restore.train_pack

    def elsewhere(*args, **options):
        results = own(*args, **options)
        results[0].losses[-1] += 1e-7
        return results

    monkeypatch.setattr(restore, "train_pack", elsewhere)
    with pytest.raises(RunError, match="was changed after it was written, and trained again the run has other numbers"):
        run_chain(stream(tasks=TASKS[:2]), tmp_path / "out")
    assert len(list((tmp_path / "out" / "runs").glob("*/state.safetensors"))) == 2, "what is there stays"
    assert not list((tmp_path / "out").rglob("again.*"))


def test_a_memory_that_changed_is_an_error(tmp_path):
    """EWC's Fisher information decides the next task as much as the adapter does."""
    from rankwise.engine import State

    path = tmp_path / "state.safetensors"
    state = State({"a.A": torch.ones(2, 3)}, {"0/state/fisher": torch.ones(2, 3)}, ({"count": 1},))
    state.write(path)
    assert State.read(path).sha256 == state.sha256
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors["event/0/state/fisher"][0, 0] = 2
    save_file(tensors, path, metadata)
    with pytest.raises(RunError, match="what events remembered there was changed"):
        State.read(path)
    save_file(tensors, path, {key: metadata[key] for key in ("events", "sha256")})
    assert State.read(path).record == state.record, "files of an older rankwise have one hash"


def test_the_rank_budget_is_enforced(tmp_path):
    """Online-LoRA freezes pairs inside a task, at every plateau; O-LoRA at borders of tasks."""
    restless = {"name": "online_lora", "window": 2, "weight": 1.0}
    tasks = [*({**task, "steps": 16} for task in (TASKS[0], TASKS[2])), TASKS[1]]
    found = run_chain(stream(tasks=tasks, strategies=["olora_cl", restless], rank_budget=8), tmp_path / "out")
    for one in found["results"]["strategies"]:
        assert max(g["rank"] for g in one["growth"]) == 8
    assert any(error for error in strategy(found, "online_lora")["chains"][0]["budget_errors"])
    chain = strategy(found, "olora_cl")
    assert [g["rank"] for g in chain["growth"]] == [4, 8, 8]
    errors = chain["chains"][0]["budget_errors"]
    assert errors[:2] == [None, None]
    assert 0 < errors[2] < 1
    saved = {one["what"]: one["error"] for one in found["results"]["saved"] if one["strategy"] == "olora_cl"}
    assert saved["exact"] == 0
    assert saved["SVD to rank 8"] < 1e-6, "rank 8 is all there is"


KILLED = """
import os, signal, sys
from rankwise.engine.run import Run
from rankwise.cli.main import main
steps = 0
step = Run.close_window
def counted(self):
    global steps
    steps += 1
    if steps == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self)
Run.close_window = counted
main(sys.argv[2:])
"""


@pytest.mark.parametrize("at", [pytest.param(5, marks=pytest.mark.slow), 11])
def test_killed_and_rerun_it_ends_with_the_same_matrix(at, tmp_path, capsys):
    import yaml

    file = tmp_path / "stream.yaml"
    settings = stream(
        strategies=["sequential", {"name": "ewc", "sample": 2}, "color"], tasks=TASKS[:2], steps=4
    ).to_dict()
    file.write_text(yaml.safe_dump(settings))
    command = ["chain", str(file), "--out", str(tmp_path / "killed")]
    done = subprocess.run([sys.executable, "-c", KILLED, str(at), *command], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with Ledger(tmp_path / "killed", read_only=True) as ledger:
        assert ledger.interrupted()
    assert main(command) == 0
    assert main(["chain", str(file), "--out", str(tmp_path / "whole")]) == 0
    one, two = (json.loads((tmp_path / name / "R.json").read_text()) for name in ("killed", "whole"))
    assert one == two
    results = [json.loads((tmp_path / name / "results.json").read_text())["results"] for name in ("killed", "whole")]
    assert results[0] == results[1]


def test_changes_under_a_stream_are_refused_and_nothing_is_lost(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "copy")
    kept = {p: p.read_bytes() for p in folder.rglob("*.json")}
    same = {"strategies": ALL, "references": ["joint"]}
    cases = [
        ({**same, "lr": 3e-2}, "has lr = 0.01, this one has 0.03; repeat the old setting"),
        ({**same, "strategies": [*ALL[:-1], {"name": "color", "k": 2}]}, "has strategies = "),
        ({**same, "tasks": TASKS[:2]}, "task 'code' was in the stream of .* and is gone; a stream only grows"),
        (
            {**same, "tasks": [TASKS[1], TASKS[0], TASKS[2]]},
            "task 'en' was number 1 in the stream of .* is number 2 now",
        ),
        (
            {**same, "tasks": [*TASKS[:2], {"id": "code", "data": "code-book", "train": 10}]},
            "task 'code' of the stream in .* had train not set, now 10",
        ),
    ]
    for changes, words in cases:
        with pytest.raises(UsageError, match=words):
            run_chain(stream(**changes), folder)
    assert {p: p.read_bytes() for p in folder.rglob("*.json")} == kept
    assert (folder / PRINTS).exists()


def test_the_example_file_is_valid():
    from pathlib import Path

    from rankwise.continual.stream import read_stream

    for name in ("stream.yaml", "stream-o-lora.yaml"):
        config = read_stream(Path(__file__).parents[2] / "examples" / name)
        assert len(config.tasks) == 3
        assert len(config.orders_of()) == 2


def test_a_chain_that_diverges_ends_and_the_others_go_on(tmp_path, capsys):
    import yaml

    file = tmp_path / "stream.yaml"
    settings = stream(strategies=["sequential", {"name": "clora", "weight": 1e29}], tasks=TASKS[:2]).to_dict()
    file.write_text(yaml.safe_dump(settings))
    assert main(["chain", str(file), "--out", str(tmp_path / "out")]) == 3
    found = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert [s["label"] for s in found["strategies"]] == ["sequential"]
    assert found["faults"][0]["run"] == "clora, order 1, seed 0"
    assert "stopped being finite" in found["faults"][0]["reason"]


@pytest.mark.slow
def test_the_example_runs_under_two_minutes(tmp_path, capsys):
    started = time.monotonic()
    assert main(["chain", "examples/stream.yaml", "--scale", "smoke", "--out", str(tmp_path / "out")]) == 0
    assert time.monotonic() - started < 120


def test_any_entry_of_another_kind_is_told_or_does_not_matter(whole):
    from rankwise.report.kinds import OTHER
    from tests.studies.test_result_shape import told_or_shown

    found = json.loads((whole[0] / "results.json").read_text())
    found["results"]["strategies"] = found["results"]["strategies"][-1:]
    console = Console(file=io.StringIO(), width=100)
    told, shown = told_or_shown(found, lambda other: OTHER["stream"].render(other, console), ("x", [None]))
    assert told > 500
    assert shown > 100
