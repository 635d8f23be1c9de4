"""llama.cpp: a GGUF adapter file, in the layout of its ``convert_lora_to_gguf.py``.

Keys: general.type = adapter, general.architecture, adapter.type = lora, adapter.lora.alpha. Tensors:
``blk.N.attn_q.weight.lora_a`` (r, d_in) and ``.lora_b`` (d_out, r); the scale is alpha / r. Llama-like q and k have
their rows reordered from two halves per head to interleaved pairs, as in every GGUF of that architecture; a token
embedding has its lora_a transposed. llama.cpp finds updates by the name of the tensor that it multiplies with, and a
tied output head multiplies with token_embd.weight.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rankwise.errors import RunError, UsageError
from rankwise.integrations.export import loader
from rankwise.integrations.export.target import Package, Target

FILE = "adapter.gguf"
TABLE = "token_embd.weight"
# model_type of transformers -> GGUF architecture, whether q and k rows are reordered
_ARCHITECTURES = {
    "llama": ("llama", True),
    "mistral": ("llama", True),
    "qwen2": ("qwen2", False),
    "qwen3": ("qwen3", False),
    "gpt2": ("gpt2", False),
}


class ForLlamaCpp(Target):
    """llama.cpp and what is built on it (llama-cpp-python, Ollama, LM Studio)."""

    name: ClassVar[str] = "gguf"
    program: ClassVar[str] = "llama.cpp"
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float16")
    ignores: ClassVar[str] = "llama.cpp reads lora_alpha only: rsLoRA's and the patterns' scales are in B"

    def check(self, package: Package) -> None:
        """Refuse whole tensors, tied and other tables, and architectures whose layout is not known here."""
        super().check(package)
        names = _Names(package.model)
        for module in package.modules:
            name = names.of(module.path)
            if name is None:
                self._refuse(f"module {module.path}, which has no name in GGUF's {names.architecture} models")
            if name == TABLE and names.tied:
                self._refuse(f"an update of {module.path}: head and embedding are tied, one table in its GGUF models")
            if module.embedding and name != TABLE:
                self._refuse(f"an update of {module.path}: of all tables it updates the token embedding only")

    def write(self, folder: Path, package: Package) -> None:
        """Write adapter.gguf."""
        import gguf

        names = _Names(package.model)
        writer = gguf.GGUFWriter(folder / FILE, names.architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(package.rank))
        writer.add_name(f"LoRA on {package.base_model}")
        for module in package.modules:
            name = names.of(module.path)
            A, B = module.A, module.B
            if module.embedding:
                A = A.T
            elif heads := names.heads(module.path):
                B = _interleave(B, heads)
            writer.add_tensor(f"{name}.lora_a", _numbers(A))
            writer.add_tensor(f"{name}.lora_b", _numbers(B))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def read(self, folder: Path, model: nn.Module) -> loader.Read:
        """Read the file back as llama.cpp does, and put the rows where torch has them.

        Raises:
            RunError: llama.cpp would stop at a product whose sides do not fit.
        """
        import gguf

        reader = gguf.GGUFReader(folder / FILE)
        alpha = float(reader.fields["adapter.lora.alpha"].contents())
        tensors = {t.name: torch.from_numpy(t.data.copy()) for t in reader.tensors}
        names, read = _Names(model), loader.Read()
        for path, module in model.named_modules():
            name = names.of(path) if path else None
            if name is None or f"{name}.lora_a" not in tensors:
                continue
            A, B = tensors[f"{name}.lora_a"].float(), tensors[f"{name}.lora_b"].float()
            scale = alpha / B.shape[1]
            if name == TABLE and isinstance(module, nn.Embedding):  # the tied head takes lora_a as it is
                A = A.T
            elif name == TABLE:
                raise RunError(f"llama.cpp would use the update of {name} for {path} too, and stop: it does not fit.")
            elif heads := names.heads(path):
                size = B.shape[0] // heads  # row h * size + 2 i + j holds element i of half j
                place = [h * size + 2 * i + j for h in range(heads) for j in (0, 1) for i in range(size // 2)]
                B = B[torch.tensor(place)]
            read.factors[path] = (A, B, scale)
        return read

    def next_step(self, folder: Path) -> str:
        """Return the command that uses it."""
        return f"llama-cli -m BASE.gguf --lora {folder / FILE}"


class _Names:
    """GGUF's names for one model's modules."""

    def __init__(self, model: Any) -> None:
        import gguf

        config = model.config
        if config.model_type not in _ARCHITECTURES:
            raise UsageError(
                f"the GGUF layout of {config.model_type!r} models is not known here (known: "
                f"{', '.join(_ARCHITECTURES)}); run `rankwise merge`, then llama.cpp's convert_hf_to_gguf.py."
            )
        self.architecture, self._reordered = _ARCHITECTURES[config.model_type]
        architecture = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == self.architecture)
        self._map = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
        self._config = config
        table, head = model.get_input_embeddings(), model.get_output_embeddings()
        self.tied = config.tie_word_embeddings or table.weight is head.weight
        self._head = next(path for path, module in model.named_modules() if module is head)

    def of(self, path: str) -> str | None:
        """Return the name of the tensor that llama.cpp uses there, or None."""
        if self.tied and path == self._head:
            return TABLE
        found: str | None = self._map.get_name(f"{path}.weight", try_suffixes=(".weight",))
        return found

    def heads(self, path: str) -> int:
        """Return the number of heads whose rows are reordered in the weight of ``path``; 0 for none."""
        if not self._reordered:
            return 0
        if path.endswith("self_attn.q_proj"):
            return int(self._config.num_attention_heads)
        return int(self._config.num_key_value_heads) if path.endswith("self_attn.k_proj") else 0


def _interleave(B: Tensor, heads: int) -> Tensor:
    """Reorder rows of every head from (half, element) to (element, half): B is (heads * 2 * n, r)."""
    return B.reshape(heads, 2, -1, B.shape[1]).transpose(1, 2).reshape(B.shape)


def _numbers(tensor: Tensor) -> Any:
    return tensor.to(torch.float16 if tensor.dtype == torch.float16 else torch.float32).contiguous().numpy()
