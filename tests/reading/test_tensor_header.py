"""Headers of safetensors files: what the package writes is read, and anything else ends in one sentence."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from rankwise.digests import DamagedError, check_file
from rankwise.errors import UsageError
from rankwise.models.folder import check_folder
from rankwise.reading.tensor_header import BITS, read_header
from rankwise.reading.tensors import read_tensor, read_tensors

A = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
B = {"dtype": "U8", "shape": [3], "data_offsets": [8, 11]}


def file_of(path, header, body=b"\0" * 11, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)
    return path


DAMAGED = {
    "nothing": (b"", {"body": b"", "length": 0}, "broken JSON"),
    "no length": (b"", {"body": b"", "length": 2**63}, "more than the format allows"),
    "a length past the end": ({"a": A, "b": B}, {"length": 10_000}, "it is cut short"),
    "a list": ([A], {}, "its header is a list, not an object"),
    "brackets": (b"[" * 5000, {}, "nested too deeply"),
    "inside brackets": (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", {}, "nested too deeply"),
    "not UTF-8": (b'{"\xff": 1}', {}, "its header is no text"),
    "a name twice": (b'{"a": 1, "a": 2}', {}, "comes twice"),
    "a shape without end": (
        {"a": {"dtype": "F32", "shape": [10**80] * 8000, "data_offsets": [0, 8]}},
        {},
        "the shape of 'a' is not a list of whole numbers",
    ),
    "digits": (b'{"a": ' + b"9" * 5000 + b"}", {}, "a number is too long"),
    "a tensor that is text": ({"a": "F32"}, {}, "what its header says of 'a' is text, not an object"),
    "metadata of numbers": ({"__metadata__": {"a": 1}, "a": A, "b": B}, {}, "are not all text"),
    "metadata in a list": ({"__metadata__": [], "a": A, "b": B}, {}, "are not all text"),
    "no dtype": ({"a": {"shape": [2], "data_offsets": [0, 8]}}, {}, "the dtype of 'a' is None, which the format does"),
    "an unknown dtype": ({"a": {**A, "dtype": "F33"}, "b": B}, {}, "the dtype of 'a' is 'F33'"),
    "a dtype in a list": ({"a": {**A, "dtype": ["F32"]}, "b": B}, {}, "the dtype of 'a' is"),
    "a shape of text": ({"a": {**A, "shape": "2"}, "b": B}, {}, "the shape of 'a' is not a list of whole numbers"),
    "a negative shape": ({"a": {**A, "shape": [-1, -2]}, "b": B}, {}, "the shape of 'a' is not a list"),
    "a fraction": ({"a": {**A, "shape": [2.0]}, "b": B}, {}, "the shape of 'a' is not a list"),
    "true for one": ({"a": {**A, "shape": [True, 2]}, "b": B}, {}, "the shape of 'a' is not a list"),
    "a shape of others": ({"a": {**A, "shape": [10**15]}, "b": B}, {}, "not the size of its shape and dtype"),
    "one offset": ({"a": {**A, "data_offsets": [0]}, "b": B}, {}, "the place of 'a' is not a pair"),
    "offsets backwards": ({"a": {**A, "data_offsets": [8, 0]}, "b": B}, {}, "not the size of its shape and dtype"),
    "overlapping": ({"a": A, "b": {**B, "data_offsets": [7, 10]}}, {"body": b"\0" * 10}, "'b' overlaps another"),
    "a gap": ({"a": A, "b": {**B, "data_offsets": [9, 12]}}, {"body": b"\0" * 12}, "'b' leaves a gap before it"),
    "outside": ({"a": A, "b": B}, {"body": b"\0" * 10}, "it is cut short"),
    "more at the end": ({"a": A, "b": B}, {"body": b"\0" * 20}, "9 bytes follow its last tensor"),
    "one name of a thousand": ({"x" * 1000: "F32"}, {}, r"x\.\.\.' is text"),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("read", [read_header, read_tensors])
def test_a_damaged_header_is_one_sentence(case, read, tmp_path):
    header, how, match = DAMAGED[case]
    path = file_of(tmp_path / "a.safetensors", header, **how)
    with pytest.raises(UsageError, match=match) as error:
        read(path)
    assert str(error.value).startswith(f"{path} is truncated or damaged (")
    assert str(error.value).endswith("); copy it again")
    assert len(str(error.value)) < 300
    with pytest.raises(DamagedError, match=match):
        check_file(path)


@pytest.mark.parametrize("name", sorted(BITS))
def test_every_dtype_of_the_format_is_read(name, tmp_path):
    place = {"dtype": name, "shape": [4, 2], "data_offsets": [0, BITS[name]]}
    path = file_of(tmp_path / "a.safetensors", {"a": place}, b"\0" * BITS[name])
    found = read_header(path).tensors["a"]
    assert (found.kind, found.shape, found.end - found.begin) == (name, (4, 2), BITS[name])


def test_what_the_package_writes_is_read(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(0, 4), "c": torch.tensor(7)}
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, {"made": "here"})
    header = read_header(path)
    assert {name: place.shape for name, place in header.tensors.items()} == {"a": (2, 3), "b": (0, 4), "c": ()}
    assert header.metadata == {"made": "here"}
    assert torch.equal(read_tensor(path, "a"), tensors["a"])
    assert read_tensors(path).keys() == tensors.keys()
    with pytest.raises(UsageError, match="was changed while it was read"):
        read_tensor(path, "z")


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F6_E2M3", "F4"])
def test_weights_of_a_few_bits_are_told(kind, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    place = {"dtype": kind, "shape": [8], "data_offsets": [0, BITS[kind]]}
    file_of(tmp_path / "model.safetensors", {"a.weight": place}, b"\0" * BITS[kind])
    with pytest.raises(UsageError, match=f"a.weight is {kind}, quantized; give the model it was made from"):
        check_folder(tmp_path)
