"""One of everything that rankwise reads, small and sound; made once, damaged in copies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from rankwise.cli.main import main
from rankwise.methods import lora, olora
from tests.chaos.killed import forked
from tests.interop.tools import adapter_folder, base_folder

SMALL = [
    *("--set", "steps=4", "--set", "eval_every=2", "--set", "sizes={train: 8, selection: 2, test: 4}"),
    *("--set", "checkpoint_seconds=0"),
]
RATES = ["--set", "search=grid", "--set", "learning_rates={lora-r4: [0.001], full: [0.0001]}"]
TRAIN = ["train", "--method", "lora", "--rank", "2", "--scale", "smoke", *SMALL, "--out", "mid"]
STUDY = [
    "study",
    "smoke",
    "--methods",
    "lora-r4",
    "--seeds",
    "2",
    *SMALL,
    "--set",
    "measure=false",
    *RATES,
    "--out",
    "study",
]
CHAIN = ["chain", "stream.yaml", "--out", "chain"]
STREAM = {
    "scale": "smoke",
    "steps": 2,
    "train": 8,
    "test": 2,
    "rank": 2,
    "strategies": ["sequential"],
    "tasks": [{"id": "en", "data": "word-problems:en"}, {"id": "vi", "data": "word-problems:vi"}],
}
ROWS = [{"prompt": f"{n} + {n} = ?", "completion": str(2 * n), "why": "dấu", "kind": "ab"[n % 2]} for n in range(40)]


def make(*, trained: bool = True) -> None:
    """Fill the current folder; paths in what is made are relative to it. ``trained``: with a study, a chain, a run."""
    model = base_folder(Path("base"), shard="200KB")
    Path("base/chat_template.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    adapter_folder(model, Path("a"), lora(2), "base")
    adapter_folder(model, Path("o"), olora(2), "base")
    _of_other_origin()
    Path("mine.yaml").write_text(Path(__file__).parents[2].joinpath("examples/study.yaml").read_text())
    Path("stream.yaml").write_text(json.dumps(STREAM, indent=1))
    _data()
    if trained:
        for command in (STUDY, CHAIN):
            assert main(command) == 0, command
        _stopped()


def _stopped() -> None:
    """``mid``: a run that was killed after a checkpoint, before its end."""
    folder = Path("mid")
    status, events = forked(TRAIN, folder, log=Path("events"))
    assert status == 0
    shutil.rmtree(folder)
    kept = next(n for n, event in enumerate(events, 1) if event.startswith("os.rename") and "checkpoint" in event)
    forked(TRAIN, folder, kill_at=kept + 1)
    assert list(folder.rglob("checkpoint*")), events
    Path("events").unlink()


def _of_other_origin() -> None:
    """``p``: as PEFT saves it, ``q``: ours, without what says what was written. No digest shields their readers."""
    from safetensors.torch import load_file, save_file

    for source, name in (("a", "p"), ("o", "q")):
        shutil.copytree(source, name)
        Path(name, "rankwise.sha256").unlink()
        for path in Path(name).glob("*.safetensors"):
            save_file(load_file(path), path, {"format": "pt"})
    Path("p/rankwise.json").unlink()


def _data() -> None:
    import pyarrow
    import pyarrow.parquet

    lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    turns = [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": str(n)}]} for n in range(40)
    ]
    Path("rows.jsonl").write_text("\n".join(lines) + "\n")
    Path("turns.jsonl").write_text("\n".join(map(json.dumps, turns)) + "\n")
    Path("rows.json").write_text(json.dumps(ROWS))
    Path("rows.csv").write_text("prompt,completion,kind\n" + "".join(f'"{n}, {n}?",{2 * n},a\n' for n in range(40)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), "rows.parquet")
    Path("prompts.txt").write_text("hi\nxin chào\n2 + 2 = ?\n")
    Path("classes").mkdir()
    rows = [{"text": f"{n} is", "label": ["odd", "even"][n % 2]} for n in range(40)]
    for split in ("train", "test"):
        Path("classes", f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    Path("classes/labels.json").write_text(json.dumps(["odd", "even"]))
    scores = [f"m,t{t},{r},{k},{0.5 + r / 100 + t / 9}" for t in range(3) for r in (2, 4) for k in ("lora", "olora")]
    Path("scores.csv").write_text("\n".join(["model,task,rank,method,score", *scores]) + "\n")
