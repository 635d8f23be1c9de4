"""P-tuning: GPT Understands, Too, Liu et al., 2021, arXiv 2103.10385."""

from __future__ import annotations

from dataclasses import replace

from rankwise.adapters import Adapter
from rankwise.adapters.parametrizations import EncodedPrompt
from rankwise.methods.card import Card
from rankwise.methods.prompt_tuning import prompt_tuning


def p_tuning(tokens: int = 20, width: int | None = None) -> Adapter:
    """Return P-tuning: ``tokens`` embeddings in front of every input, made by a small network that trains with them.

    Args:
        width: hidden numbers of the network; None: as many as the model's embeddings have.
    """
    return replace(prompt_tuning(), parametrization=EncodedPrompt(tokens, width))


CARD = Card(
    name="p_tuning",
    arxiv="2103.10385",
    title="GPT Understands, Too",
    axes={"parametrization": "encoded-prompt", "init": "own", "scaling": "constant", "placement": "input-embeddings"},
    formula="y = [P; W0 x], P = H3 relu(H2 relu(H1 E + h1) + h2) + h3",
    merges=False,
    export_rank="-",
    fidelity="agrees with PEFT's implementation (its perceptron); all virtual tokens stand in front",
    citation="""@article{liu2021gpt,
  title={GPT Understands, Too},
  author={Liu, Xiao and Zheng, Yanan and Du, Zhengxiao and Ding, Ming and Qian, Yujie and Yang, Zhilin and Tang, Jie},
  journal={arXiv preprint arXiv:2103.10385},
  year={2021}
}""",
    build=p_tuning,
)
