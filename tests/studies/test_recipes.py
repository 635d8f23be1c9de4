"""Recipes: the PEFT and TRL ones are really built and run; the others parse, with keys their tools publish."""

import ast
import json
import os
import runpy
import subprocess
import sys

import pytest
import torch
import yaml

from rankwise.adapters import attach, save
from rankwise.errors import UsageError
from rankwise.methods import catalogue
from rankwise.models import byte_tokenizer
from rankwise.models.tiny import tiny_model
from rankwise.studies.presets.resolve import resolve_study
from rankwise.studies.recipes.terms import PEFT_INITS, lora_terms, module_names
from rankwise.studies.recipes.write import TOOLS, write_recipes

SENTENCE = "This arm matches or beats full fine-tuning (D = -0.01 [-0.03, 0.01])."
FULL = {"name": "full", "label": "Full", "method": "full"}

# Read in Axolotl's utils/schemas (config, training, peft, model, datasets) and LLaMA-Factory's hparams, plus
# transformers' TrainingArguments for the latter.
AXOLOTL = (
    "base_model adapter lora_r lora_alpha lora_dropout lora_target_modules peft_use_rslora peft_use_dora "
    "peft_init_lora_weights loraplus_lr_ratio chat_template datasets train_on_inputs sequence_len sample_packing "
    "micro_batch_size gradient_accumulation_steps max_steps optimizer learning_rate lr_scheduler warmup_steps "
    "weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm bf16 gradient_checkpointing seed output_dir"
)
FACTORY = (
    "model_name_or_path stage do_train finetuning_type lora_rank lora_alpha lora_dropout lora_target use_rslora "
    "use_dora loraplus_lr_ratio pissa_init pissa_iter pissa_convert dataset dataset_dir template cutoff_len "
    "per_device_train_batch_size gradient_accumulation_steps max_steps optim learning_rate lr_scheduler_type "
    "warmup_steps weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm bf16 "
    "disable_gradient_checkpointing seed output_dir report_to"
)


def study(method="lora", changes=None, **options):
    """A configuration with one arm, and the part of its results that a recipe reads."""
    arm = {"name": "arm", "label": f"{method} arm", "method": method, "options": options}
    values = {"learning_rates": {"arm": [1e-3, 3e-3]}, "arms": [FULL, arm], "steps": 3, "batch": 6, **(changes or {})}
    config = resolve_study("rank", "smoke", values)
    arms = [{"name": n, "best_lr": lr, "verdict": {"sentence": SENTENCE}} for n, lr in (("full", 1e-3), ("arm", 3e-3))]
    return config, {"arms": arms, "cell": {"model": "tiny", "data": config.data}}


def targets_of(adapter, folder):
    """``target_modules`` as the study's own adapter folder has them."""
    save(attach(tiny_model(), adapter, seed=0), folder)
    return json.loads((folder / "adapter_config.json").read_text())["target_modules"]


def write(tmp_path, method="lora", changes=None, **options):
    if method == "vb_lora":
        options |= {"length": 32}  # its default does not divide the tiny model's sides
    config, results = study(method, changes, **options)
    targets = targets_of(config.arm("arm").target(), tmp_path / "saved")
    write_recipes(config, results, "arm", tmp_path / "recipe", targets)
    return config, {file: (tmp_path / "recipe" / file).read_text() for file in TOOLS}


def adapters():
    """Methods whose start needs no data and whose W0 stays as it is."""
    found = [(card.name, card.build()) for card in catalogue() if not card.owns_base]
    return [
        name
        for name, adapter in found
        if adapter.parametrization.ranked and not (adapter.init.needs_data or adapter.storage.quantizes)
    ]


@pytest.mark.parametrize("method", adapters())
def test_peft_builds_the_adapter_that_was_studied(method, tmp_path):
    from peft import get_peft_model

    config, files = write(tmp_path, method, rank=6)
    ours = config.arm("arm").target()
    if "NOT THE SAME" in files["peft_config.py"]:
        pytest.skip(f"PEFT's LoRA cannot express {method}; the file says so")
    lora = runpy.run_path(str(tmp_path / "recipe" / "peft_config.py"))["config"]
    theirs = get_peft_model(tiny_model(), lora)
    handle = attach(tiny_model(), ours, seed=0)
    layers = {name.removeprefix("base_model.model."): m for name, m in theirs.named_modules() if hasattr(m, "lora_A")}
    assert set(layers) == set(handle.layers)
    for name, layer in layers.items():
        assert layer.scaling["default"] == pytest.approx(ours.s, rel=1e-12)
        assert layer.r["default"] == 6
        assert (layer.lora_B["default"].weight == 0).all() == (not ours.init.edits_base)
        start = handle.slots[name].start
        if start:  # the same part of W0 is trained
            product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
            torch.testing.assert_close(product.detach(), start["B"] @ start["A"], atol=1e-5, rtol=1e-4)
    trainable = sum(p.numel() for p in theirs.parameters() if p.requires_grad)
    assert trainable == sum(p.numel() for p in handle.trainable().values())


@pytest.mark.parametrize("method", ["rslora", "lora_plus"])
@pytest.mark.slow
def test_the_trl_script_runs_and_its_adapter_loads(method, tmp_path):
    model = tmp_path / "base"
    tiny_model().save_pretrained(model)
    byte_tokenizer().save_pretrained(model)
    data = tmp_path / "rows.jsonl"
    rows = [{"question": f"{a} plus {a}?", "answer": str(2 * a)} for a in range(20)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"model": str(model), "data": str(data), "micro_batch": 4, "schedule": "linear", "system": "Add."}
    write(tmp_path, method, changes, rank=4)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(tmp_path / "recipe" / "train_trl.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("'loss'") == 3
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), tmp_path / "adapter")
    assert any(p.abs().sum() > 0 for name, p in loaded.named_parameters() if "lora_B" in name)
    state = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    expected = (4, 8, True) if method == "rslora" else (4, 32, False)
    assert (state["r"], state["lora_alpha"], state["use_rslora"]) == expected


def keywords(code, function):
    """Keyword arguments of one call in ``code``, as values."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
            return {k.arg: ast.literal_eval(k.value) for k in node.keywords}
    raise AssertionError(f"no call of {function}")


def test_every_file_carries_the_run(tmp_path):
    changes = {"micro_batch": 4, "schedule": "cosine", "weight_decay": 0.1, "clip": 0.5, "max_length": 123, "seed": 0}
    _, files = write(tmp_path, "lora", {**changes, "fresh_seeds": [5]}, rank=4, alpha=8)
    assert set(files) == {"train_trl.py", "peft_config.py", "axolotl.yaml", "train_unsloth.py", "llama_factory.yaml"}
    for text in files.values():
        assert SENTENCE in text
        assert "tiny" in text
        assert "NOT THE SAME" not in text
    expected = {
        "max_steps": 3,
        "per_device_train_batch_size": 2,  # 4 does not divide 6
        "gradient_accumulation_steps": 3,
        "learning_rate": 3e-3,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0,
        "weight_decay": 0.1,
        "max_grad_norm": 0.5,
        "adam_beta2": 0.999,
        "seed": 5,
    }
    from trl import SFTConfig

    for file in ("train_trl.py", "train_unsloth.py"):
        found = keywords(files[file], "SFTConfig")
        assert {key: found[key] for key in expected} == expected
        SFTConfig(**{**found, "output_dir": str(tmp_path), "use_cpu": True})
        assert found["max_length"] == 123
        assert found["completion_only_loss"] is True
    factory = yaml.safe_load(files["llama_factory.yaml"])
    assert {key: factory[key] for key in expected} == expected
    axolotl = yaml.safe_load(files["axolotl.yaml"])
    renamed = {"per_device_train_batch_size": "micro_batch_size", "lr_scheduler_type": "lr_scheduler"}
    assert {key: axolotl[renamed.get(key, key)] for key in expected} == expected
    assert (axolotl["lora_r"], axolotl["lora_alpha"]) == (factory["lora_rank"], factory["lora_alpha"]) == (4, 8)
    assert factory["cutoff_len"] == axolotl["sequence_len"] == 123
    targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    adapter = keywords(files["train_unsloth.py"], "FastLanguageModel.get_peft_model")
    assert set(adapter["target_modules"]) == set(axolotl["lora_target_modules"]) == targets
    assert set(factory["lora_target"].split(",")) == targets
    assert (adapter["r"], adapter["lora_alpha"], adapter["init_lora_weights"]) == (4, 8, True)


@pytest.mark.parametrize("method", adapters())
def test_yaml_keys_are_published_ones_and_numbers_stay_numbers(method, tmp_path):
    _, files = write(tmp_path, method, {"learning_rates": {"arm": [1e-5]}}, rank=2)
    for file, known in (("axolotl.yaml", AXOLOTL), ("llama_factory.yaml", FACTORY)):
        values = yaml.safe_load(files[file])
        assert set(values) <= set(known.split())
        assert isinstance(values["adam_epsilon"], float), "PyYAML reads 1e-08 as text"


def test_what_a_tool_cannot_express_is_said_in_its_file(tmp_path):
    _, olora = write(tmp_path / "olora", "olora", rank=4)
    assert "NOT THE SAME" not in olora["train_trl.py"] + olora["peft_config.py"] + olora["axolotl.yaml"]
    assert "path_initial_model_for_weight_conversion" in olora["train_trl.py"]
    assert yaml.safe_load(olora["axolotl.yaml"])["peft_init_lora_weights"] == "olora"
    assert "# NOT THE SAME: Unsloth has no 'olora' init" in olora["train_unsloth.py"]
    assert "# NOT THE SAME: LLaMA-Factory has no 'olora' init" in olora["llama_factory.yaml"]
    assert keywords(olora["train_unsloth.py"], "FastLanguageModel.get_peft_model")["init_lora_weights"] is True

    _, pissa = write(tmp_path / "pissa", "pissa", rank=4)
    factory = yaml.safe_load(pissa["llama_factory.yaml"])
    assert (factory["pissa_init"], factory["pissa_iter"]) == (True, -1)
    assert "NOT THE SAME" not in pissa["llama_factory.yaml"]

    _, plus = write(tmp_path / "plus", "lora_plus", rank=4, ratio=4)
    assert yaml.safe_load(plus["axolotl.yaml"])["loraplus_lr_ratio"] == 4
    assert yaml.safe_load(plus["llama_factory.yaml"])["loraplus_lr_ratio"] == 4
    for file in ("train_trl.py", "train_unsloth.py"):
        options = keywords(plus[file], "create_loraplus_optimizer")
        assert (options["lr"], options["loraplus_lr_ratio"]) == (3e-3, 4)
    assert "create_loraplus_optimizer, ratio 4" in plus["peft_config.py"]

    _, dora = write(tmp_path / "dora", "dora", rank=4)
    assert keywords(dora["peft_config.py"], "LoraConfig")["use_dora"] is True
    assert yaml.safe_load(dora["axolotl.yaml"])["peft_use_dora"] is True
    assert yaml.safe_load(dora["llama_factory.yaml"])["use_dora"] is True

    _, odd = write(tmp_path / "odd", "lora", rank=4, alpha=7.5)
    assert keywords(odd["peft_config.py"], "LoraConfig")["lora_alpha"] == 7.5
    assert yaml.safe_load(odd["axolotl.yaml"])["lora_alpha"] == 8
    assert "the study's 7.5 became 8" in odd["axolotl.yaml"]


def test_a_placement_that_no_suffix_expresses(tmp_path):
    where = r"layers\.1\.self_attn\.(q|v)_proj"
    _, files = write(tmp_path, "lora", rank=2, placement=f"regex:{where}")
    full = {"model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.v_proj"}
    assert set(keywords(files["peft_config.py"], "LoraConfig")["target_modules"]) == full
    assert set(yaml.safe_load(files["llama_factory.yaml"])["lora_target"].split(",")) == full
    assert "# NOT THE SAME: Unsloth finds modules by the names below only" in files["train_unsloth.py"]
    assert module_names(["q_proj"]) == ("q_proj",)


def test_data_and_model_are_named_as_the_tools_load_them(tmp_path):
    changes = {"model": "default", "data": "openai/gsm8k:main", "dtype": "bfloat16"}
    _, files = write(tmp_path, "lora", changes, rank=2)
    assert "load_dataset('openai/gsm8k', 'main', split=\"train\")" in files["train_trl.py"]
    assert "model='HuggingFaceTB/SmolLM2-135M-Instruct'" in files["train_trl.py"]
    assert "'dtype': 'bfloat16'" in files["train_trl.py"]
    axolotl = yaml.safe_load(files["axolotl.yaml"])
    assert axolotl["datasets"][0]["path"] == "openai/gsm8k"
    assert axolotl["datasets"][0]["name"] == "main"
    assert axolotl["bf16"] is True
    _, less = write(tmp_path / "less", "lora", {**changes, "data": "skip-bad-rows:openai/gsm8k:main"}, rank=2)
    assert yaml.safe_load(less["axolotl.yaml"])["datasets"] == axolotl["datasets"]
    assert "take them out of the data" in less["axolotl.yaml"]
    _, made = write(tmp_path / "made", "lora", rank=2)
    assert "made by rankwise: put your own rows into train.jsonl" in made["axolotl.yaml"]


def test_refusals(tmp_path):
    config, results = study()
    with pytest.raises(UsageError, match="unknown arm 'arn'; did you mean 'arm'"):
        write_recipes(config, results, "arn", tmp_path, ["q_proj"])
    with pytest.raises(UsageError, match="full fine-tuning"):
        write_recipes(config, results, "full", tmp_path, ["q_proj"])
    results["arms"][1]["best_lr"] = None
    with pytest.raises(UsageError, match="no learning rate"):
        write_recipes(config, results, "arm", tmp_path, ["q_proj"])
    assert not list(tmp_path.iterdir())


def test_every_init_of_ours_has_a_peft_name_or_a_comment():
    from rankwise.adapters import Adapter
    from rankwise.adapters.inits import INITS
    from rankwise.methods.compatibility_table import pairs

    impossible = {pair.choice for pair in pairs() if pair.parametrization == "low-rank" and pair.reason}
    for name in set(INITS) - impossible:
        storage = {"storage": "nf4"} if INITS[name].quantized else {}
        terms = lora_terms(Adapter.from_dict({"rank": 2, "init": name, **storage}))
        assert (name in PEFT_INITS) == (not terms.limits)
