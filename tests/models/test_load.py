import json
import shutil

import pytest
import torch

from rankwise.errors import UsageError
from rankwise.models import byte_tokenizer, fingerprint, hub, load_base, tiny_model


@pytest.fixture
def copy(model_folder):
    return model_folder


def refused(folder, **options):
    with pytest.raises(UsageError) as caught:
        load_base(str(folder), **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_tiny_is_frozen_and_ready():
    base = load_base("tiny")
    assert (base.name, base.model.training) == ("tiny", False)
    assert not any(p.requires_grad for p in base.model.parameters())
    assert {p.dtype for p in base.model.parameters()} == {torch.bfloat16}
    assert base.model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert base.fingerprint == fingerprint(base.model) == load_base("tiny").fingerprint
    assert base.notes


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_a_saved_model_comes_back_bit_for_bit_and_in_silence(tmp_path, capfd, kind):
    model = tiny_model(2, kind)
    model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    capfd.readouterr()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    base = load_base(str(tmp_path), dtype=torch.float32)
    assert torch.equal(torch.rand(1), expected)
    assert base.fingerprint == fingerprint(model)
    assert base.name == str(tmp_path)
    assert not base.model.training
    assert not any(p.requires_grad for p in base.model.parameters())
    assert base.tokenizer("xin chào").input_ids == list("xin chào".encode())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kept", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_stored_rounds_no_value_of_the_files_whatever_their_config_says(tmp_path, kept):
    model = tiny_model(2, dtype=kept)
    model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    found = load_base(str(tmp_path), dtype="stored").model.state_dict()
    assert {tensor.dtype for tensor in found.values()} == {torch.float32 if kept == torch.float16 else kept}
    assert all(torch.equal(found[name].double(), tensor.double()) for name, tensor in model.state_dict().items())


def test_sharded_weights_load_and_a_lost_shard_is_named(tmp_path):
    model = tiny_model(2)
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    byte_tokenizer().save_pretrained(tmp_path)
    shards = sorted(path.name for path in tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert load_base(str(tmp_path), dtype=torch.float32).fingerprint == fingerprint(model)
    (tmp_path / shards[1]).unlink()
    assert f"lacks {shards[1]}" in refused(tmp_path)


def test_a_missing_pad_token_becomes_the_end_token(copy):
    path = copy / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["pad_token"]
    path.write_text(json.dumps(config))
    assert load_base(str(copy)).tokenizer.pad_token_id == 257


def test_pickled_weights_are_refused_unread(copy):
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"anything at all")
    assert "pytorch_model.bin only, a pickle that could run code" in refused(copy)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights(copy, share):
    path = copy / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert f"{path} is truncated or damaged" in refused(copy)


def test_missing_pieces_are_named(copy):
    for name in ("tokenizer.json", "model.safetensors", "config.json"):
        (copy / name).unlink()
        assert name in refused(copy)


def test_weights_that_are_not_in_the_file_are_never_made_up(copy):
    from safetensors.torch import load_file, save_file

    path = copy / "model.safetensors"
    tensors = load_file(path)
    lost = tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    assert "lack 1 weights of a LlamaForCausalLM" in refused(copy)
    save_file({**tensors, "model.layers.1.mlp.up_proj.weight": lost[:, :-1].contiguous()}, path, {"format": "pt"})
    assert "model.layers.1.mlp.up_proj.weight" in refused(copy)
    extra = {**tensors, "model.layers.1.mlp.up_proj.weight": lost, "vision.weight": torch.ones(2)}
    save_file(extra, path, metadata={"format": "pt"})
    assert load_base(str(copy)).notes == ("1 tensors in the files were not used.",)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("{", "line 1: broken JSON"),
        ("[]", "expected a JSON object, found a list"),
        ('{"model_type": "not-a-model"}', "cannot load the model"),
        ('{"model_type": "t5"}', "cannot load the model"),
        ('{"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}', "cannot load the model"),
    ],
)
def test_unusable_configurations(copy, config, says):
    (copy / "config.json").write_text(config)
    (copy / "mine.py").write_text("raise SystemExit('remote code ran')")
    assert says in refused(copy)


def test_wrong_folders_get_a_next_step(copy, tmp_path, monkeypatch):
    assert f"did you mean {copy}?" in refused(tmp_path)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    assert "is an adapter" in refused(tmp_path / "adapter")
    assert "is a file" in refused(copy / "config.json")
    assert f"did you mean the folder {copy}?" in refused(tmp_path / "modle")
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'model'?" in refused("modell")
    assert "did you mean 'default'?" in refused("defualt")


def test_an_unusable_device_is_named():
    assert "device 'gpu7' cannot be used" in refused("tiny", device="gpu7")


def test_a_hub_id_without_a_network_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "probe", lambda url: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "best").mkdir(parents=True)
    message = refused("runs/bets")
    assert "runs/bets is not in the hub's cache" in message
    assert message.endswith("did you mean the folder runs/best?")


def test_a_hub_model_comes_from_the_hubs_cache_without_a_network(saved_model, monkeypatch, tmp_path):
    from huggingface_hub import constants

    repo, revision = tmp_path / "models--owner--name", "0123456789" * 4
    shutil.copytree(saved_model, repo / "snapshots" / revision)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(revision)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "probe", lambda url: None)
    base = load_base("owner/name", dtype=torch.float32)
    assert base.fingerprint == fingerprint(tiny_model(7))
    assert (base.name, base.notes) == ("owner/name", (f"Hub revision {revision}.",))


def test_a_hub_id_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the suite runs offline
    monkeypatch.setattr(hub, "probe", lambda url: 404)
    assert "has no model rankwise-tests/none that you may read (HTTP 404)" in refused("rankwise-tests/none")
