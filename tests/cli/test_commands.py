"""Commands as a person types them, on the tiny model."""

import json
import signal
from pathlib import Path

import pytest

from rankwise.cli.main import main
from rankwise.engine.run import Run

SMALL = ["--set", "steps=4", "--set", "eval_every=2", "--set", "sizes={train: 16, selection: 4, test: 6}"]
STUDY = ["study", "smoke", "--methods", "lora-r4", "--seeds", "2", *SMALL]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "s"
    assert main([*STUDY, "--out", str(out)]) == 0
    return out


def test_study_leaves_what_it_promises(study):
    for name in ("study.yaml", "ledger.sqlite", "results.json", "report.html", "figures", "best"):
        assert (study / name).exists(), name
    assert list((study / "figures").glob("*.png"))
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= {
        p.name for p in study.joinpath("best").iterdir()
    }


def test_study_prints_verdict_and_next_command(study, capsys):
    assert main([*STUDY, "--out", str(study)]) == 0
    shown = capsys.readouterr()
    assert "report.html" in shown.out
    assert "rankwise study" in shown.out
    assert "resumed: " in shown.err


def test_report_again_and_as_json(study, capsys):
    (study / "report.html").unlink()
    assert main(["report", str(study)]) == 0
    assert (study / "report.html").exists()
    capsys.readouterr()
    assert main(["report", str(study), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"results", "cost", "provenance"}


def test_studies_side_by_side(study, tmp_path, capsys):
    page = tmp_path / "c.html"
    assert main(["report", str(study), str(study), "--out", str(page)]) == 0
    assert "no difference shown, for these seeds" in capsys.readouterr().out
    assert "<h1>Studies side by side</h1>" in page.read_text()
    assert main(["report", str(study), str(study), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"studies", "cells"}
    assert main(["report", str(study), "--out", str(page)]) == 2
    assert "--out names the page of a comparison" in capsys.readouterr().err


def test_the_ledger_as_tables(study, tmp_path, capsys):
    assert main(["ledger", "export", str(study), "--to", "csv", "--out", str(tmp_path / "r.csv"), "--json"]) == 0
    paths = json.loads(capsys.readouterr().out)
    assert len(Path(paths["runs"]).read_text().splitlines()) > 5
    assert main(["ledger", "export", str(study)]) == 0
    assert (study / "runs.parquet").exists()
    assert (study / "runs-examples.parquet").exists()
    assert main(["ledger", "export", str(tmp_path)]) == 2


def test_cheapest_by_acts_on_a_finished_folder(study, capsys):
    assert main([*STUDY, "--out", str(study), "--cheapest-by", "params", "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)["results"]["verdict"]
    assert verdict["cheapest_by"] == "params"
    assert main([*STUDY, "--out", str(study), "--cheapest-by", "price"]) == 2
    assert "flops" in capsys.readouterr().err


def test_two_seeds_say_so(study):
    results = json.loads((study / "results.json").read_text())["results"]
    assert any("2 fresh seeds" in trap for trap in results["traps"])


def test_train_saves_and_resumes(tmp_path, capsys):
    command = ["train", "--method", "olora", "--rank", "4", "--model", "tiny", "--scale", "smoke", *SMALL]
    command += ["--out", str(tmp_path / "t"), "--json"]
    assert main(command) == 0
    first = capsys.readouterr()
    result = json.loads(first.out)
    assert result["status"] == "done"
    assert result["path"] == str(tmp_path / "t")
    assert main(command) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == result
    assert "already done" in again.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_command_and_the_same_command_goes_on(number, code, tmp_path, capsys, monkeypatch):
    command = ["train", "--model", "tiny", "--scale", "smoke", *SMALL, "--out", str(tmp_path / "t"), "--json"]
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & makes a command ignore it
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    close = Run.close_window

    def close_and_end(run):
        loss = close(run)
        if run.step == 3:
            signal.raise_signal(number)
        return loss

    monkeypatch.setattr(Run, "close_window", close_and_end)
    try:
        assert main(command) == code
    finally:
        restored = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        signal.signal(signal.SIGINT, previous)
    assert restored == before
    assert "interrupted; the same command continues where it stopped" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(command) == 0
    assert "continues at step 3" in capsys.readouterr().err


def test_train_full_saves_a_model_that_loads(tmp_path, capsys):
    command = ["train", "--method", "full", "--model", "tiny", "--scale", "smoke", *SMALL, "--out", str(tmp_path / "t")]
    assert main([*command, "--json"]) == 0
    path = json.loads(capsys.readouterr().out)["path"]
    assert main(["doctor", "--model", path, "--json"]) == 0


def test_train_without_a_method_option_that_full_lacks(capsys):
    assert main(["train", "--method", "full", "--rank", "4"]) == 2
    assert "method 'full' has no option 'rank'" in capsys.readouterr().err


def test_dry_run_writes_nothing(tmp_path, capsys):
    assert main([*STUDY, "--out", str(tmp_path / "s"), "--dry-run"]) == 0
    assert "runs to choose learning rates" in capsys.readouterr().out
    assert main([*STUDY, "--out", str(tmp_path / "s"), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["steps"] == 4
    assert not (tmp_path / "s").exists()


def test_a_study_file_takes_every_option(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: rank\nscale: smoke\nfinalists: 1\n", encoding="utf-8")
    command = ["study", str(file), "--seeds", "5", "--reference", "auto", "--dry-run", "--json"]
    assert main(command) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert (config["finalists"], config["fresh_seeds"], config["reference"]) == (1, [1, 2, 3, 4, 5], "full")


def test_seeds_give_the_tutorial_a_verdict(capsys):
    assert (
        main(
            ["study", "rank", "--scale", "tutorial", "--seeds", "3", "--model", "no-such-model", "--dry-run", "--json"]
        )
        == 0
    )
    config = json.loads(capsys.readouterr().out)["config"]
    assert (config["finalists"], config["fresh_seeds"]) == (2, [1, 2, 3])


def test_a_dry_run_estimates_packs_memory_and_time(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*STUDY, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["forecast"]
    assert found["runs"] == 6 == sum(len(pack["runs"]) for pack in found["packs"])
    assert 0 < found["memory_bytes"] < found["memory_budget"]
    assert found["flops"] > 0
    assert 0 < found["adapter_step_seconds"] < found["seconds"] < 600
    assert main([*STUDY, "--dry-run"]) == 0
    assert "in all on this machine" in " ".join(capsys.readouterr().out.split())
    assert main(["study", "rank", "--model", "no-such-model", "--set", "learning_rates.full=[1e-4]", "--dry-run"]) == 0
    assert "No estimate of packs, memory and time: unknown model" in " ".join(capsys.readouterr().out.split())
    assert not list(tmp_path.iterdir())


def test_methods_as_table_json_and_one(capsys):
    assert main(["methods"]) == 0
    assert "2106.09685" in capsys.readouterr().out
    assert main(["methods", "--json"]) == 0
    names = [card["name"] for card in json.loads(capsys.readouterr().out)]
    assert names[:7] == ["full", "lora", "rslora", "olora", "pissa", "dora", "lora_plus"]
    assert main(["methods", "olora"]) == 0
    assert "@article" in capsys.readouterr().out
    assert main(["methods", "lora_xs", "--model", "default"]) == 0
    assert "53,760 parameters" in capsys.readouterr().out, "16 x 16 for 7 modules in 30 layers"
    assert main(["methods", "vera", "--json", "--model", "tiny"]) == 0
    assert json.loads(capsys.readouterr().out)["shapes"]["A"] == "(r, d_in), frozen, shared by all layers"
    assert main(["methods", "--composes", "--json"]) == 0
    pairs = json.loads(capsys.readouterr().out)
    assert {"parametrization": "vera", "axis": "storage", "choice": "nf4", "reason": "", "composes": True} in pairs
    assert main(["methods", "--composes"]) == 0
    assert "could not move" in capsys.readouterr().out
    assert main(["methods", "--model", "tiny"]) == 2
    assert main(["methods", "lora", "--composes"]) == 2


def test_doctor_shows_the_mask(capsys):
    assert main(["doctor", "--model", "tiny", "--data", "word-problems:en"]) == 0
    shown = capsys.readouterr().out
    assert "trained on: " in shown
    assert "<|im_end|>" in shown.split("trained on: ")[1]


def test_a_failed_run_is_recorded_the_rest_goes_on_and_the_exit_code_is_3(tmp_path, monkeypatch):
    import rankwise.execution.attempt as attempt

    real = attempt.train_job

    def fails_once(base, job, *args, **kwargs):
        spec = job.spec
        if getattr(spec.target, "rank", None) == 4 and spec.seed == 0 and spec.lr == 0.01:
            raise RuntimeError("out of luck")
        return real(base, job, *args, **kwargs)

    monkeypatch.setattr(attempt, "train_job", fails_once)
    out = tmp_path / "s"
    assert main([*STUDY, "--out", str(out)]) == 3
    results = json.loads((out / "results.json").read_text())["results"]
    assert results["faults"] == [{"run": "lora-r4 lr=0.01 seed=0", "reason": "out of luck"}]
    assert "out of luck" in (out / "report.html").read_text()


def test_a_full_disk_is_one_sentence_and_finished_runs_are_kept(tmp_path, monkeypatch, capsys):
    import errno

    import rankwise.adapters.checkpoint as checkpoint

    def full(path, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    out = tmp_path / "s"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_tensors", full)
        assert main([*STUDY, "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "no space left while writing" in said
    assert "Traceback" not in said
    assert not list(out.rglob(".*.tmp"))
    assert main([*STUDY, "--out", str(out)]) == 0
    assert "resumed: " in capsys.readouterr().err


def test_interrupting_exits_with_130_and_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    import rankwise.execution.attempt as attempt

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(attempt, "train_job", interrupted)
    assert main([*STUDY, "--out", str(tmp_path / "s")]) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_several_cells_make_one_table(tmp_path, capsys):
    command = ["study", "smoke", "--methods", "lora-r4", "--seeds", "2", "--data", "word-problems:en,word-problems:vi"]
    assert main([*command, *SMALL, "--out", str(tmp_path / "s")]) == 0
    assert capsys.readouterr().out.count("report.html") == 2
    cells = json.loads((tmp_path / "s" / "cells.json").read_text())
    assert cells["cells"] == ["tiny--word-problems-en", "tiny--word-problems-vi"]
    for slug in cells["cells"]:
        assert (tmp_path / "s" / slug / "report.html").exists()


def test_training_from_a_study_uses_its_recipe(study, tmp_path, capsys):
    command = ["train", "--from", str(study), "--arm", "lora-r4", "--out", str(tmp_path / "t"), "--json"]
    assert main([*command, "--steps", "8", "--dry-run"]) == 0
    plan = json.loads(capsys.readouterr().out)
    results = json.loads((study / "results.json").read_text())["results"]
    assert plan["lr"] == next(a["best_lr"] for a in results["arms"] if a["name"] == "lora-r4")
    assert plan["config"]["steps"] == 8
    assert main([*command, "--lr", "0.02", "--dry-run"]) == 0
    other = json.loads(capsys.readouterr().out)
    assert (other["lr"], other["config"]["learning_rates"]["lora-r4"]) == (0.02, [0.02]), "the folder says what is run"
    assert main([*command, "--steps", "8"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "done"


def test_recipes_lie_beside_the_best_adapter(study):
    assert {"peft_config.py", "train_trl.py", "axolotl.yaml"} <= {p.name for p in (study / "recipes").iterdir()}


BAD = [
    (["study", "rank", "--scale", "smoke", "--data", ","], "--data is empty; give it something, or leave it out"),
    (["study", "methods", "--scale", "smoke", "--methods", ""], "--methods is empty"),
    (["train", "--scale", "smoke", "--report-to", " , "], "--report-to is empty"),
    (["study", "withoutregret"], "did you mean 'without-regret'"),
    (["study", "rank", "--scale", "huge"], "unknown scale 'huge'"),
    (["study", "smoke", "--methods", "lorra"], "did you mean 'lora'"),
    (["study", "smoke", "--set", "steps"], "--set needs name=value"),
    (["study", "smoke", "--set", "stepz=3"], "unknown study setting 'stepz'"),
    (["study", "smoke", "--set", "steps=[1"], "not readable YAML"),
    (["study", "smoke", "--steps", "0"], "steps"),
    (["study", "smoke", "--steps", "many"], "--steps"),
    (["study", "smoke", "--seeds", "0"], "--seeds"),
    (["study", "smoke", "--data", "no-such-data"], "unknown data"),
    (["study", "smoke", "--data", "missing/file.jsonl"], "no such file"),
    (["study", "smoke", "--model", "no-such-model"], "unknown model"),
    (["study", "smoke", "--frobnicate"], "--frobnicate"),
    (["train", "--method", "lorra"], "did you mean 'lora'"),
    (["train", "--rank", "0"], "rank must be a whole number"),
    (["train", "--alpha", "-1"], "alpha must be a positive number"),
    (["train", "--placement", "atention"], "did you mean 'attention'"),
    (["train", "--placement", "regex:("], "not a regular expression"),
    (["train", "--model", "tiny", "--placement", "q_porj,v_proj", "--scale", "smoke"], "did you mean 'q_proj'"),
    (["train", "--model", "tiny", "--method", "pissa", "--rank", "99", "--scale", "smoke"], "rank <= min"),
    (["train", "--lr", "0"], "learning"),
    (["train", "--arm", "lora-r1"], "it needs --from"),
    (["train", "--from", "nowhere", "--rank", "4"], "--rank cannot be given with --from"),
    (["train", "--from", "nowhere"], "holds no study.yaml"),
    (["methods", "dorra"], "unknown method"),
    (["report", "nowhere"], "not a study's folder"),
    (["doctor", "--data", "nope"], "unknown data"),
    (["frobnicate"], "frobnicate"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_input_is_one_sentence_and_exit_2(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*.json"))
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("*"))
