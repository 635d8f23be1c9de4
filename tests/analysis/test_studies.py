"""The presets ``olora`` and ``which-matrices``, and the analyses that read their studies."""

import csv
import json

import pytest
import torch

from rankwise.adapters.inits import OLoRA, OLoRAControl
from rankwise.analysis.cycles import at_edge
from rankwise.analysis.cycles import judge as judge_cycles
from rankwise.analysis.olora.duels import Shared, at_one_rate, duels, leads_of_controls
from rankwise.analysis.olora.rules import favored
from rankwise.analysis.study_files import steps_to
from rankwise.analysis.which_matrices_study import contest, judge
from rankwise.cli.main import main
from rankwise.errors import UsageError
from rankwise.execution.progress import Progress
from rankwise.methods import catalogue
from rankwise.studies.cells import AllCells, study_cells
from rankwise.studies.presets.resolve import resolve_study

SMALL = ["--set", "steps=2", "--set", "eval_every=1", "--set", "sizes={train: 8, selection: 4, test: 4}"]
SMALL += ["--set", "finalists=1", "--set", "widen=0", "--seeds", "1"]


def test_the_olora_preset_has_every_method_at_both_ranks_at_scale_one_and_a_shared_rate():
    config = resolve_study("olora", "tutorial")
    names = [arm.name for arm in config.arms]
    methods = ["lora", "olora", "pissa", *(["milora"] if "milora" in {c.name for c in catalogue()} else [])]
    assert names[0] == "full"
    assert set(names[1:]) == {f"{m}-r{r}" for m in methods for r in (32, 64)} | {"orthonormal-r32", "spectrum-r32"}
    assert {arm.target().s for arm in config.arms[1:]} == {1.0}
    quick = resolve_study("olora", "quick", {"steps": 6})
    few = {f"{m}-r{r}" for m in ("lora", "olora") for r in (32, 64)} | {"orthonormal-r32", "spectrum-r32"}
    assert {arm.name for arm in quick.arms} == few | {f"{m}-r32" for m in methods[2:]}
    assert (quick.search, quick.reference_arm.name, quick.fresh_seeds, quick.measure) == ("grid", "lora-r64", (), False)
    for found in (config, quick):
        assert found.search == "grid", "the shared rate is never stopped"
    shared = set.intersection(*(set(rates) for rates in quick.learning_rates.values()))
    assert shared == {3e-4}, "one rate that all arms try, however short the runs"


def test_plain_quick_studies_ask_three_cells_and_named_data_gets_every_arm():
    for preset, left in (("olora", {"pissa-r32", "milora-r32"}), ("which-matrices", None)):
        config = resolve_study(preset, "quick")
        first, *others = study_cells(config, [], [])
        assert [cell.data for cell in (first, *others)] == ["word-problems", "word-problems:vi", "code-book"]
        assert first.study(config).arms == config.arms
        for cell in others:
            own = cell.study(config)
            names = {arm.name for arm in own.arms}
            gone = {arm.name for arm in config.arms} - names
            assert gone == (left or {f"{k}-r{r}" for k in ("q", "q-v", "q-k-v-o") for r in (1, 64)})
            assert set(own.learning_rates) == names
            assert own.data == cell.data
        (named,) = study_cells(config, [], ["code-book"])
        assert not named.without
    pissa = resolve_study("olora", "quick", {"methods": ["pissa"]})
    assert [arm.name for arm in pissa.arms] == ["lora-r64", "pissa-r32"]
    assert not any(cell.without for cell in study_cells(pissa, [], []))
    (alone,) = study_cells(resolve_study("olora", "smoke"), [], [])
    assert alone.data == "word-problems"
    matrices = resolve_study("which-matrices", "quick")
    assert len(matrices.learning_rates["full"]) == 1
    assert {len(rates) for name, rates in matrices.learning_rates.items() if name != "full"} == {3}


def test_the_matrices_preset_spends_one_budget():
    from rankwise.cost import blueprint, model_shape

    config = resolve_study("which-matrices", "quick")
    linear = model_shape(blueprint("default").model).linear
    counts = {}
    for arm in config.arms[1:8]:
        kinds = str(arm.options["placement"]).split(",")
        counts[arm.name] = sum(sum(s) for n, s in linear.items() if n.rsplit(".", 1)[-1] in kinds) * arm.options["rank"]
    assert len(counts) == 7
    assert max(counts.values()) / min(counts.values()) < 1.05, "whole ranks leave a few percent"


def test_the_matrices_preset_needs_separate_matrices(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 4, "vocab_size": 300})
    )
    with pytest.raises(UsageError, match="q_proj"):
        resolve_study("which-matrices", "smoke", {"model": str(tmp_path)})


@pytest.mark.parametrize("keep", ["norm", "spectrum"])
def test_the_controls_keep_what_they_say(keep):
    W0 = torch.randn(20, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    olora = OLoRA().start(W0, 5, 1.0, torch.Generator())
    control = OLoRAControl(keep).start(W0, 5, 1.0, torch.Generator().manual_seed(3))
    torch.testing.assert_close(control["B"].T @ control["B"], torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-12)
    theirs, ours = (torch.linalg.svdvals(s["B"] @ s["A"])[:5] for s in (olora, control))
    assert float(ours.norm()) == pytest.approx(float(theirs.norm()), rel=1e-12), "as loud"
    if keep == "spectrum":
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    else:
        torch.testing.assert_close(ours, ours.mean().expand(5), rtol=1e-12, atol=1e-12)
    with pytest.raises(UsageError, match="keep"):
        OLoRAControl("directions")


def test_steps_to_a_threshold():
    curve = [[5, 1.0], [10, 0.6], [15, 0.8]]
    assert [steps_to(curve, 2.0, t) for t in (2.0, 1.5, 1.0, 0.6, 0.5)] == [0, 2.5, 5, 10, None]
    assert steps_to(curve, 2.0, 0.7) == pytest.approx(8.75, rel=1e-12), "three quarters of the way from 1.0 to 0.6"
    assert steps_to([[5, 2.5], [10, 1.5]], 2.0, 2.0 - 0.25) == 8.75, "from the last point above, not from the start"


def _arm(name, method, scores, reference=False):
    rates = [
        {"lr": lr, "status": "diverged", "selection_nll": None, "curve": [[1, 0.01]]}
        if nll is None
        else {"lr": lr, "status": "done", "selection_nll": nll, "curve": [[1, nll + 1], [2, nll]]}
        for lr, nll in scores.items()
    ]
    rank = None if reference else int(name.rsplit("-r", 1)[1])
    return {"name": name, "method": method, "rank": rank, "learning_rates": rates, "bracketed": True}


MODEL = {"cell": {"model": "m", "data": "d"}, "base": {"selection_nll": 3.0}}


def test_own_rates_and_a_shared_one_can_disagree():
    """OLoRA is ahead at LoRA's rate and behind when each has its own: the learning rate, not the init."""
    lora = _arm("lora-r4", "lora", {1e-4: 1.0, 1e-3: 0.5, 1e-2: None})
    olora = _arm("olora-r4", "olora", {1e-5: 0.7, 1e-4: 0.6, 1e-2: 0.1})
    assert at_one_rate(olora, lora) == Shared(1e-4, 2, (0.6, 1.0))
    (duel,) = duels({"cell": {**MODEL, "arms": [_arm("full", "full", {1e-4: 0.1}, True), lora, olora]}})
    assert duel.own == (0.1, 0.5)
    assert duel.shared == Shared(1e-4, 2, (0.6, 1.0))
    assert duel.rates == (1e-2, 1e-3)
    assert duel.tried == ((1e-5, 1e-2), (1e-4, 1e-2))
    assert duel.lead == pytest.approx(0.4)
    assert duel.lead_shared == pytest.approx(0.4)


def test_a_shared_rate_that_was_stopped_early_is_read_where_both_were_scored():
    lora = _arm("lora-r4", "lora", {1e-4: 1.0, 1e-3: 0.5})
    olora = _arm("olora-r4", "olora", {1e-4: 0.6, 1e-2: 0.1})
    stopped = lora["learning_rates"][0]
    stopped.update(status="stopped", selection_nll=None, curve=stopped["curve"][:1])
    assert at_one_rate(olora, lora) == Shared(1e-4, 1, (1.6, 2.0))
    olora["learning_rates"] = [dict(r, curve=[[2, 0.3]]) for r in olora["learning_rates"]]
    assert at_one_rate(olora, lora) is None
    (duel,) = duels({"cell": {**MODEL, "arms": [lora, olora]}})
    assert (duel.shared, duel.lead_shared, duel.losses("shared")) == (None, None, None)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("olora")
    assert main(["study", "olora", "--scale", "smoke", *SMALL, "--set", "search=halving", "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_arms_composed_by_hand_go_through_halving_like_any_other(study):
    results = json.loads((study / "results.json").read_text())["results"]
    assert results["search"]["kind"] == "halving"
    assert results["search"]["rungs"]
    arms = {arm["name"]: arm for arm in results["arms"]}
    for name in ("orthonormal-r4", "spectrum-r4"):
        rates = arms[name]["learning_rates"]
        assert [r["lr"] for r in rates] == [r["lr"] for r in arms["olora-r4"]["learning_rates"]], "the same family"
        assert {r["status"] for r in rates} == {"done", "stopped"}
        assert arms[name]["formula"].startswith("W = ")
        assert arms[name]["verdict"]["word"]
    assert "custom" not in {cited["method"] for cited in results["citations"]}


def test_an_arm_composed_by_hand_can_be_the_best_one(tmp_path, capsys):
    out = tmp_path / "study"
    typed = ["study", "olora", "--scale", "smoke", *SMALL, "--methods", "orthonormal-r4", "--out", str(out), "--json"]
    assert main(typed) == 0
    assert "olora-control" in (out / "best" / "README.md").read_text() + (out / "best" / "rankwise.json").read_text()
    assert len(list((out / "recipes").iterdir())) == 5
    assert "Random orthonormal r=4" in (out / "report.html").read_text()
    capsys.readouterr()
    again = ["train", "--from", str(out), "--arm", "orthonormal-r4", "--steps", "2", "--out", str(tmp_path / "long")]
    assert main([*again, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])["status"] == "done"


def test_the_olora_analysis_reads_its_study(study, tmp_path, capsys):
    assert main(["analyze", "olora", "--study", str(study), "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["word"] == "undecided", "two ranks in one cell are too few"
    assert set(found["numbers"]["own"]) >= {"olora", "pissa", "orthonormal", "spectrum"}
    for counts in (found["numbers"]["own"], found["numbers"]["shared"]):
        assert counts["olora"]["wins"] + counts["olora"]["losses"] == 2
    for kind in ("own", "shared"):
        assert found["numbers"]["beyond"][kind]["p"] >= 0.5
    assert "(the search stopped poor rates)" in found["interpretation"], "this study searches by halving"
    (cell_table,) = (t for t in found["tables"] if t["title"] == "Cell by cell")
    results = json.loads((study / "results.json").read_text())["results"]
    tried = {arm["name"]: [f"{r['lr']:g}" for r in arm["learning_rates"]] for arm in results["arms"]}
    for row in (dict(zip(range(20), row, strict=False)) for row in cell_table["rows"]):
        assert row[3] in tried[f"{row[2]}-r{row[1]}"]
        assert row[5] in tried[f"lora-r{row[1]}"]
        assert row[7] in set(tried[f"{row[2]}-r{row[1]}"]) & set(tried[f"lora-r{row[1]}"])
    assert {row[0].split(", ")[1] for row in found["tables"][0]["rows"]} >= {"all", "rank 4", "rank 8"}
    controls = found["numbers"]["controls"]
    assert controls["ranks"] == [4], "held against OLoRA at the rank that the controls have"
    assert controls["favored"] == "one cell is too few to favor an explanation"
    assert controls["favored"] in found["interpretation"]


def test_gain_is_held_against_intrinsic_dimension(study, tmp_path, capsys):
    typed = ["analyze", "olora", "--study", str(study), "--train", "--dimensions", "16,64", "--scale", "smoke"]
    assert main([*typed, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (cell,) = found["numbers"]["dimension"]
    assert set(cell) == {"cell", "d90", "bracket", "ahead"}
    assert cell["bracket"]
    drawn = [panel["title"] for panel in found["panels"] if "intrinsic" in panel["title"]]
    assert bool(drawn) == (cell["d90"] is not None), "no empty axes"


@pytest.mark.parametrize(
    ("olora", "orthonormal", "spectrum", "wins", "told"),
    [
        ([0.3], [0.3], [0.3], 1, "one cell"),
        ([0.1, -0.2], [0.3, 0.3], [0.3, 0.3], 2, "no lead"),  # a mean of both signs that comes out below
        ([0.9, -0.1, -0.1], [0.9, 0.3, 0.3], [0.3, 0.3, 0.3], 1, "no lead"),  # one cell brings the whole mean
        ([0.3, 0.3], [0.1, 0.3], [0.0, 0.0], 2, "orthonormality and loudness alone"),
        ([0.3, 0.3], [0.1, 0.1], [0.3, 0.2], 2, "the start's singular values"),
        ([0.3, 0.3, -0.01], [0.1, 0.1, 0.1], [0.1, 0.1, 0.1], 2, "W's directions are the reason"),
    ],
)
def test_what_the_controls_favor(olora, orthonormal, spectrum, wins, told):
    assert told in favored({"olora": olora, "orthonormal": orthonormal, "spectrum": spectrum}, wins)


def test_controls_are_means_over_cells_beside_olora_at_their_rank():
    cells = {}
    for cell, shift in (("a", 0.0), ("b", 0.1)):
        names = {"lora-r4": 0.5, "olora-r4": 0.4, "lora-r8": 0.5, "olora-r8": 0.0, "orthonormal-r4": 0.45 - shift}
        names["spectrum-r4"] = 0.5
        kinds = {"orthonormal": "custom", "spectrum": "custom"}
        arms = [_arm(n, kinds.get(n.split("-")[0], n.split("-")[0]), {1e-3: nll}) for n, nll in names.items()]
        cells[cell] = {**MODEL, "arms": arms}
    found = leads_of_controls(duels(cells))
    assert found["cells"] == 2
    assert found["means"] == pytest.approx({"orthonormal": 0.1, "spectrum": 0.0, "olora": 0.1})
    assert found["ahead"] == 2
    assert "orthonormality and loudness alone" in found["favored"]


def _matrices(one, several, base=1.0, edge=None):
    rows = [
        {"cell": "c", "matrices": m, "rank": 4, "trained": 100, "nll": v} for m, v in (("q", one), ("q-v", several))
    ]
    arms = [{"name": f"{m}-r4", "bracketed": m != edge} for m in ("q", "q-v")]
    return contest("c", rows, {"base": {"selection_nll": base}, "arms": arms})["ahead"]


def test_a_lead_within_the_margin_is_nobodys():
    assert _matrices(0.50, 0.48) == "several"
    assert _matrices(0.48, 0.50) == "one"
    assert _matrices(0.500, 0.495) == "neither"
    assert {_matrices(0.50, 0.48, edge=edge) for edge in ("q", "q-v")} == {"no verdict"}


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        (["several", "several", "neither"], "holds here"),
        (["one", "one", "several"], "does not hold here"),
        (["several", "one", "neither"], "undecided"),
        (["neither"] * 3, "undecided"),
        (["several", "several"], "undecided"),
    ],
)
def test_the_words_of_the_matrices_claim(outcomes, word):
    assert judge(outcomes) == word


@pytest.mark.parametrize(
    ("lora", "olora", "word"),
    [(0.5, 0.4, "holds here"), (0.5, 0.6, "does not hold here"), (0.5, 0.49, "undecided"), (0.5, 0.51, "undecided")],
)
def test_the_words_of_the_cycles_claim(lora, olora, word):
    assert judge_cycles(lora, olora, base=1.0) == word
    assert judge_cycles(lora, olora, base=1.0, bracketed=False) == "undecided"


@pytest.mark.parametrize(
    ("nlls", "edges"), [((3, 1, 2), []), ((1, 2, 3), ["olora"]), ((3, 2, 1), ["olora"]), ((3, 1, float("inf")), [])]
)
def test_the_rates_of_cycles_need_worse_ones_on_both_sides(nlls, edges):
    rows = [{"arm": "lora", "lr": lr, "nll": nll} for lr, nll in enumerate((2, 1, 2))]
    rows += [{"arm": "olora", "lr": lr, "nll": nll} for lr, nll in enumerate(nlls)]
    assert at_edge([*rows, {"arm": "pissa", "lr": 1, "nll": 1}]) == edges


def test_cells_are_counted_on_and_never_past_their_total():
    told = []

    class Told(Progress):
        def plan(self, total, done):
            told.append((total, done))

    cells = AllCells(Told(), [4, 4, 2])
    for planned in ((4, 5), (4,), (2,)):
        cells.next_cell()
        for total in planned:
            cells.plan(total, 0)
    assert told == [(10, 0), (11, 0), (11, 5), (11, 9)]


@pytest.mark.slow
def test_the_matrices_analysis_reads_its_study(study, tmp_path, capsys):
    out = tmp_path / "study"
    assert main(["study", "which-matrices", "--scale", "smoke", *SMALL, "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["analyze", "which-matrices", "--study", str(out), "--out", str(tmp_path / "f"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["matrices"] for row in found["numbers"]["rows"]} == {"q", "k", "v", "o", "q-k", "q-v", "q-k-v-o"}
    assert main(["analyze", "which-matrices", "--study", str(study), "--out", str(tmp_path / "g")]) == 2
    assert "no arms by attention matrix" in capsys.readouterr().err
    assert main(["analyze", "olora", "--study", str(out), "--out", str(tmp_path / "g")]) == 2
    assert "no OLoRA arm" in capsys.readouterr().err


def test_scores_from_elsewhere_are_counted(tmp_path, capsys):
    path = tmp_path / "scores.csv"
    rows = [("m", t, r, k, s) for t in "abc" for r in (32, 64) for k, s in (("LoRA", 0.5), ("OLoRA", 0.6))]
    rows[1] = ("m", "a", 32, "OLoRA", 0.5)  # a tie
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # a byte-order mark, as spreadsheets write it
        csv.writer(file).writerows([("model", "task", "rank", "method", "score"), *rows])
    assert main(["analyze", "olora", "--study", str(path), "--out", str(tmp_path / "f"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["numbers"]["wins"] == {"wins": 5, "losses": 0, "ties": 1}
    assert found["numbers"]["by_model"] == {"m": found["numbers"]["wins"]}
    assert found["word"] == "undecided", "5 of 5 by chance in one case of 16"
    assert "at these shares about 8 duels" in found["why"]
    path.write_text("model,task,rank\n1,2,3\n")
    assert main(["analyze", "olora", "--study", str(path)]) == 2
    assert "lacks the column 'method'" in capsys.readouterr().err
    path.write_text("model,task,rank,method,score\nm,a,many,lora,1\n")
    assert main(["analyze", "olora", "--study", str(path)]) == 2
    assert "line 2" in capsys.readouterr().err
