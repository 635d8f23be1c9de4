import hashlib
import subprocess
import sys

import torch

from rankwise.models import fingerprint, tiny_model


def test_importing_the_room_is_cheap():
    code = "import sys, rankwise.models; print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_fingerprint_sees_every_bit_name_shape_and_dtype():
    model = tiny_model()
    seen = {fingerprint(model)}
    assert fingerprint(tiny_model()) in seen
    with torch.no_grad():
        weight = model.model.layers[1].mlp.down_proj.weight
        kept = weight[3, 5].item()
        weight[3, 5] = torch.nextafter(weight[3, 5], torch.tensor(9.0))
        seen.add(fingerprint(model))
        weight[3, 5] = kept
    assert fingerprint(model) in seen
    seen.add(fingerprint(tiny_model(dtype=torch.bfloat16)))
    seen.add(fingerprint(tiny_model(tied=False)))
    seen.add(fingerprint(torch.nn.Linear(2, 3)))
    assert len(seen) == 5
    a, b = torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        b.weight.copy_(a.weight.reshape(2, 3))
    assert fingerprint(a) != fingerprint(b)  # the same bytes in another shape


def test_scalars_and_strided_parameters_can_be_hashed():
    module = torch.nn.Module()
    module.scalar = torch.nn.Parameter(torch.tensor(1.5))
    module.turned = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
    straight = torch.nn.Module()
    straight.scalar = torch.nn.Parameter(torch.tensor(1.5))
    straight.turned = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T.contiguous())
    assert fingerprint(module) == fingerprint(straight)


def test_the_fingerprint_of_a_known_model_never_changes():
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.tensor([[0.5, -1.0]]), requires_grad=False)
    # Golden, and by hand: sha256 of b"weight 1x2 torch.float32\n" and the 8 little-endian bytes.
    assert (
        fingerprint(module)
        == hashlib.sha256(b"weight 1x2 torch.float32\n" + bytes.fromhex("0000003f000080bf")).hexdigest()
    )
