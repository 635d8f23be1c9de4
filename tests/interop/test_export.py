"""Every method of the contract table, trained a few steps, exported and loaded elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from rankwise.adapters import load, save
from rankwise.errors import RunError, UsageError
from rankwise.integrations.export import TARGETS, export
from rankwise.methods import loftq, lora, olora, placement, qlora
from rankwise.models import tiny_model

from ..contract.models import GPT2, LLAMA
from ..contract.table import ROWS
from ..contract.tools import close, run, train
from .plain_loader import merge_into
from .tools import live, tree

pytestmark = pytest.mark.filterwarnings("ignore")
ROW = {row.name: row for row in ROWS}
models = pytest.mark.parametrize("tiny", [LLAMA, GPT2], ids=lambda tiny: tiny.name)
DELTAS = [r for r in ROWS if r.kind == "delta" and r.thin is not None]
DENSE = [r for r in ROWS if r.kind == "delta" and r.thin is None and not r.ranked]
exact_rows = pytest.mark.parametrize("row", [r for r in DELTAS if r.magnitude != "in"], ids=lambda row: row.name)


@models
@exact_rows
def test_peft_and_a_plain_loader_give_the_live_logits_in_float64(row, tiny, tmp_path):
    peft = pytest.importorskip("peft")
    it = live(tiny, row.adapter, tmp_path, train)
    done = export(it, "peft", tmp_path / "out")
    expected = run(it.base.model, tiny)
    assert done.exact
    assert done.rank == row.export_rank
    close(run(merge_into(tiny.make(), tmp_path / "out"), tiny), expected)
    close(run(peft.PeftModel.from_pretrained(tiny.make(), tmp_path / "out").eval(), tiny), expected)
    close(run((fresh := tiny.make()), tiny), run(tiny.make(), tiny))
    load(fresh, tmp_path / "out")
    close(run(fresh, tiny), expected)


@pytest.mark.parametrize("target", ["vllm", "sglang", "gguf"])
@pytest.mark.parametrize(
    "row", [r for r in DELTAS if not r.magnitude and r.export_rank <= 16], ids=lambda row: row.name
)
def test_plain_targets_are_exact_where_the_method_is(row, target, tmp_path):
    it = live(LLAMA, row.adapter, tmp_path, train)
    done = export(it, target, tmp_path / "out")
    assert done.exact
    assert done.proof.share < (1e-6 if target == "gguf" else 1e-12)
    assert done.proof.effect > 1e-4
    if target != "gguf":
        config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
        assert (config["lora_alpha"], config["use_rslora"], config["use_dora"]) == (config["r"], False, False)
        assert isinstance(config["target_modules"], list)
        close(run(merge_into(LLAMA.make(), tmp_path / "out"), LLAMA), run(it.base.model, LLAMA))


def test_a_rank_larger_than_the_layer_is_cut_where_nothing_is_lost(tmp_path):
    it = live(LLAMA, ROW["lora-rank-above-d"].adapter, tmp_path, train)
    done = export(it, "vllm", tmp_path / "out")
    assert (done.rank, done.exact) == (16, True)
    close(run(merge_into(LLAMA.make(), tmp_path / "out"), LLAMA), run(it.base.model, LLAMA))


@pytest.mark.parametrize("name", ["dora", "dora-in", "dora-pissa"])
def test_what_has_no_low_rank_form_is_cut_and_its_loss_is_the_spectrums_tail(name, tmp_path):
    it = live(LLAMA, ROW[name].adapter, tmp_path, train)
    done = export(it, "vllm", tmp_path / "out", max_rank=6)
    assert not done.exact
    tensors = load_file(tmp_path / "out" / "adapter_model.safetensors")
    for path, error in done.errors.items():
        delta = it.handle.delta(path)
        prefix = f"base_model.model.{path}."
        written = tensors[f"{prefix}lora_B.weight"] @ tensors[f"{prefix}lora_A.weight"]
        S = torch.linalg.svdvals(delta)
        assert error == pytest.approx(float(S[6:].norm() / S.norm()), rel=1e-9, abs=1e-14)
        assert float((written - delta).norm() / delta.norm()) == pytest.approx(error, rel=1e-6, abs=1e-12)
    assert "no exact low-rank form" in " ".join(done.notes)


@pytest.mark.parametrize("row", DENSE, ids=lambda row: row.name)
def test_a_dense_update_is_cut_with_its_loss_and_whole_where_nothing_bounds_it(row, tmp_path):
    it = live(LLAMA, row.adapter, tmp_path, train)
    cut = export(it, "vllm", tmp_path / "cut", max_rank=7)
    assert not cut.exact
    assert 0 < max(cut.errors.values()) < 1
    whole = export(it, "vllm", tmp_path / "whole", max_rank=64)  # all singular values there are
    assert whole.exact
    close(run(merge_into(LLAMA.make(), tmp_path / "whole"), LLAMA), run(it.base.model, LLAMA))


def test_dora_keeps_its_magnitudes_for_peft_unless_a_rank_is_asked_for(tmp_path):
    it = live(LLAMA, ROW["dora"].adapter, tmp_path, train)
    export(it, "peft", tmp_path / "whole")
    export(it, "peft", tmp_path / "cut", max_rank=16)
    for folder, decomposed in (("whole", True), ("cut", False)):
        config = json.loads((tmp_path / folder / "adapter_config.json").read_text())
        assert config["use_dora"] is decomposed


def test_per_module_ranks_are_flattened_by_zeros(tmp_path):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    options = {"r": 4, "lora_alpha": 6, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}}
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False, **options)
    theirs = peft.get_peft_model(LLAMA.make(), config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    it = live(LLAMA, lora(2), tmp_path / "theirs", lambda *args: None)
    it.handle.detach()
    it = replace(it, handle=load(it.base.model, tmp_path / "theirs"))
    for target in ("vllm", "sglang"):
        export(it, target, tmp_path / target)
        close(run(merge_into(LLAMA.make(), tmp_path / target), LLAMA), run(theirs, LLAMA))
        tensors = load_file(tmp_path / target / "adapter_model.safetensors")
        assert {t.shape[0] for name, t in tensors.items() if "lora_A" in name} == {4}
        kinds = {name.split(".")[-3] for name in tensors}
        assert kinds == {"q_proj", "v_proj"} | ({"k_proj"} if target == "sglang" else set()), "zeros for the stack"


def test_embeddings_and_whole_tensors(tmp_path):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    for name, options in (
        ("table", {"target_modules": ["q_proj", "embed_tokens"]}),
        ("head", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    ):
        theirs = peft.get_peft_model(LLAMA.make(), peft.LoraConfig(r=4, init_lora_weights=False, **options)).eval()
        with torch.no_grad():
            for key, p in theirs.named_parameters():
                if "modules_to_save" in key:
                    p.mul_(1.2)
        theirs.save_pretrained(tmp_path / name)
        it = live(LLAMA, lora(2), tmp_path / name, lambda *args: None)
        it.handle.detach()
        it = replace(it, handle=load(it.base.model, tmp_path / name))
        export(it, "peft", tmp_path / f"{name}-peft")
        again = peft.PeftModel.from_pretrained(LLAMA.make(), tmp_path / f"{name}-peft").eval()
        close(run(again, LLAMA), run(theirs, LLAMA))
        for target in ("vllm", "sglang"):
            what = "an embedding" if name == "table" else "whole tensors"
            with pytest.raises(UsageError, match=rf"cannot load an adapter with .*{what}.*rankwise merge"):
                export(it, target, tmp_path / "no")
        what = "an update of .* one table in its GGUF models" if name == "table" else "whole tensors"
        with pytest.raises(UsageError, match=rf"llama\.cpp cannot load an adapter with {what}"):
            export(it, "gguf", tmp_path / "no")
        assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("adapter", "target", "options", "words"),
    [
        (lora(17), "vllm", {}, "start vLLM with --max-lora-rank 32 and export with --max-rank 32"),
        (olora(9, placement="q_proj,"), "vllm", {}, r"exact at rank 18 \(a base-editing init doubles it\)"),
        (lora(8), "peft", {"max_rank": 4}, "rankwise compress .* --rank 4"),
        (lora(2), "vlm", {}, "unknown target 'vlm'; did you mean 'vllm'"),
        (lora(2), "gguf", {"dtype": "bfloat16"}, "written in float32 or float16, not bfloat16"),
        (lora(2), "peft", {"dtype": "int8"}, "unknown dtype 'int8'"),
        (lora(2), "peft", {"max_rank": 0}, "--max-rank must be at least 1"),
        (lora(2, placement="regex:^lm_head$"), "vllm", {}, "the output head"),
        (lora(2, placement="regex:^lm_head$"), "gguf", {}, "lm_head: head and embedding are tied"),
        (lora(2, placement="regex:embed_tokens$"), "gguf", {}, "embed_tokens: head and embedding are tied"),
    ],
)
def test_what_a_target_cannot_hold_is_refused_and_nothing_is_written(adapter, target, options, words, tmp_path):
    def moved(model, tiny, handle):
        with torch.no_grad():
            for p in handle.trainable().values():
                p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))

    it = live(LLAMA, adapter, tmp_path / "a", moved)
    # Rank above the layer would be cut without loss here; make the layer's own rank the adapter's.
    if adapter.rank > 16:
        import rankwise.integrations.export.plain as plain

        plain_eps, plain.of_product = plain.of_product, lambda A, B: type("S", (), {"error": lambda self, k: 1.0})()
        try:
            with pytest.raises(UsageError, match=words):
                export(it, target, tmp_path / "out", **options)
        finally:
            plain.of_product = plain_eps
    elif target == "vllm" and adapter.rank == 9:
        with pytest.raises(UsageError, match=words):
            export(it, target, tmp_path / "out", max_rank=9, **options)
    else:
        with pytest.raises(UsageError, match=words):
            export(it, target, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ia3-out", "ia3-in", "bitfit"])
def test_what_is_no_update_of_weights_is_refused(name, tmp_path):
    it = live(GPT2, ROW[name].adapter, tmp_path / "a", train)
    for target in TARGETS:
        with pytest.raises(UsageError, match=r"not an update of weights \(its kind is .*rankwise\.load"):
            export(it, target, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_over_codes_the_factors_are_exact_and_codes_of_its_own_are_refused(tmp_path):
    pytest.importorskip("bitsandbytes", reason="storage 'nf4' needs bitsandbytes: pip install 'rankwise[quant]'")
    it = live(LLAMA, qlora(4, 8), tmp_path / "a", train)
    done = export(it, "peft", tmp_path / "out")
    assert done.exact
    assert done.proof.share < 1e-12
    assert "trained beside W0 in nf4: load the base in four bits" in " ".join(done.notes)
    with pytest.raises(UsageError, match="init 'loftq' chose the codes of the base together with it"):
        export(live(LLAMA, loftq(4), tmp_path / "a", train), "peft", tmp_path / "no")


def test_files_that_are_not_the_live_adapter_are_never_kept(tmp_path, monkeypatch):
    """What servers do silently: read the scale wrong. The proof must notice."""
    from rankwise.integrations.export import target as module

    right = module.peft_config
    monkeypatch.setattr(
        "rankwise.integrations.export.peft_target.peft_config",
        lambda package, targets, **more: right(package, targets, **{**more, "lora_alpha": package.rank * 2}),
    )
    it = live(LLAMA, lora(4), tmp_path, train)
    with pytest.raises(RunError, match="the written adapter is not the live one"):
        export(it, "peft", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [False, True])
def test_where_float32_rounding_is_too_coarse_the_proof_goes_on_in_float64(wrong, tmp_path, monkeypatch):
    """With a bound that no float32 pass can hold: the right file passes in float64, a slightly wrong one does not."""
    monkeypatch.setattr("rankwise.integrations.export.run.EXACT", 1e-12)
    if wrong:
        from rankwise.integrations.export import target as module

        right = module.peft_config
        monkeypatch.setattr(
            "rankwise.integrations.export.peft_target.peft_config",
            lambda package, targets, **more: right(package, targets, **{**more, "lora_alpha": package.rank * 1.001}),
        )
    it = live(LLAMA, olora(4), tmp_path, train, torch.float32)
    before = {name: tensor.clone() for name, tensor in it.base.model.state_dict().items()}
    if wrong:
        with pytest.raises(RunError, match=r"not the live one.*in float64"):
            export(it, "peft", tmp_path / "out")
        assert not list(tmp_path.iterdir())
    else:
        done = export(it, "peft", tmp_path / "out")
        assert done.proof.dtype == "float64"
        assert done.proof.share <= 1e-6
        assert done.proof.low is not None
    after = it.base.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(tensor, after[name]) and tensor.dtype == torch.float32 for name, tensor in before.items())


def test_a_row_order_mistake_in_gguf_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("rankwise.integrations.export.llama_cpp._interleave", lambda B, heads: B)
    it = live(LLAMA, lora(4), tmp_path, train)
    with pytest.raises(RunError, match="is not the live one"):
        export(it, "gguf", tmp_path / "out")


def test_gguf_reads_tables_as_llama_cpp_does(tmp_path, monkeypatch):
    """It finds updates by tensor, and a tied head has the embedding's; other tables it never updates."""
    from rankwise.integrations.export.llama_cpp import ForLlamaCpp

    from .tools import moved

    untied = moved(tiny_model(kind="gpt2", tied=False), lora(2, placement="regex:(wte|lm_head)$"), tmp_path)
    assert export(untied, "gguf", tmp_path / "out").proof.share < 1e-6
    with pytest.raises(UsageError, match=r"an update of transformer\.wpe: of all tables it updates the token embed"):
        export(moved(tiny_model(kind="gpt2"), lora(2, placement="regex:wpe$"), tmp_path), "gguf", tmp_path / "no")
    monkeypatch.setattr(ForLlamaCpp, "check", lambda self, package: None)
    with pytest.raises(RunError, match=r"would use the update of token_embd\.weight for lm_head too, and stop"):
        export(moved(tiny_model(), lora(2, placement="regex:embed_tokens$"), tmp_path), "gguf", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_an_existing_folder_is_never_touched(tmp_path):
    it = live(LLAMA, lora(4), tmp_path, train)
    save(it.handle, tmp_path / "out")
    before = tree(tmp_path)
    for target in TARGETS:
        with pytest.raises(UsageError, match="exists already and is not overwritten"):
            export(it, target, tmp_path / "out")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("dtype", "share"), [("bfloat16", 0.02), ("float16", 0.002)])
def test_narrow_tensors_stay_near(dtype, share, tmp_path):
    it = live(LLAMA, lora(4), tmp_path, train)
    done = export(it, "vllm", tmp_path / "out", dtype=dtype)
    assert 0 < done.proof.difference < share * done.proof.effect
    kinds = {str(t.dtype) for t in load_file(tmp_path / "out" / "adapter_model.safetensors").values()}
    assert kinds == {f"torch.{dtype}"}


def test_the_card_says_what_was_checked(tmp_path):
    it = live(LLAMA, replace(olora(4), placement=placement("q_proj,")), tmp_path, train, torch.float32)
    done = export(it, "peft", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "base_model: llama" in text
    assert done.proof.sentence() in text
    assert "in bfloat16" in done.proof.sentence()
    assert done.proof.share <= 1e-5
