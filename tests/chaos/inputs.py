"""Damaged and hostile inputs for every reader: one function a kind, which draws a command line and its files."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from rankwise.digests import sealed
from rankwise.ledger.rows import UNVERIFIED
from tests.chaos import sound
from tests.chaos.damage import (
    PATTERNS,
    TEMPLATES,
    bytes_damage,
    dumped,
    json_damage,
    tensors_damage,
    text_value,
    value,
)


@dataclass(frozen=True)
class Case:
    """A command line and the files that it meets.

    Attributes:
        kind: the name of what made it.
        command: arguments of ``rankwise``, paths relative to the folder it runs in.
        needs: files and folders of the sound ones that are copied there first.
        files: what is put over them.
        names: words of which a refusal must hold one: what is wrong, or where.
    """

    kind: str
    command: list[str]
    needs: tuple[str, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As a file of the corpus."""
        files = {name: base64.b64encode(raw).decode() for name, raw in self.files.items()}
        about = {"kind": self.kind, "command": self.command, "needs": self.needs, "files": files, "names": self.names}
        return json.dumps(about, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Case:
        """The inverse of :meth:`to_json`."""
        about = json.loads(text)
        files = {name: base64.b64decode(raw) for name, raw in about["files"].items()}
        return cls(about["kind"], about["command"], tuple(about["needs"]), files, tuple(about["names"]))


Maker = Callable[[Random, Path], Case]
KINDS: dict[str, tuple[int, Maker]] = {}


def kind(share: int) -> Callable[[Maker], Maker]:
    """Enter a function under its name; ``share`` of all cases are of it."""

    def enter(make: Maker) -> Maker:
        KINDS[make.__name__] = share, make
        return make

    return enter


QUICK = ("options", "settings", "columns", "study_file", "stream_file", "config", "native_adapter", "peft_config")


def draw_case(seed: int, number: int, place: Path, *, quick: bool = False) -> Case:
    """Return case ``number`` of a seed; ``place`` holds the sound files; ``quick``: only kinds that take a moment."""
    draw = Random(f"{seed}/{number}")
    names = QUICK if quick else tuple(KINDS)
    (name,) = draw.choices(names, [KINDS[name][0] for name in names])
    return KINDS[name][1](draw, place)


def json_or_bytes(draw: Random, path: Path) -> bytes:
    """Damage a JSON file: mostly its values, sometimes its bytes."""
    raw = path.read_bytes()
    return bytes_damage(draw, raw) if draw.random() < 0.25 else dumped(json_damage(draw, json.loads(raw)))


ONE = ["--max-new-tokens", "1"]
WITH_BASE = [["generate", "hi", "--model", "base", *ONE]] * 3 + [
    ["doctor", "--model", "base", "--data", "rows.jsonl"],
    ["merge", "base", "a", "--out", "out"],
]
WITH_ADAPTER = [
    ["generate", "hi", "--adapter", "{}", *ONE],
    ["generate", "hi", "--adapter", "{}", *ONE],
    ["export", "{}", "--for", "peft", "--out", "out"],
    ["export", "{}", "--for", "gguf", "--out", "out"],
    ["merge", "base", "{}", "--out", "out"],
    ["compress", "{}", "--rank", "1", "--out", "out"],
]


def with_adapter(draw: Random, name: str) -> list[str]:
    return [word.format(name) for word in draw.choice(WITH_ADAPTER)]


@kind(10)
def config(draw: Random, place: Path) -> Case:
    files = {"base/config.json": json_or_bytes(draw, place / "base/config.json")}
    cheap = [["cost", "--model", "base/config.json", "--no-calibrate", "--json"]] * 3
    return Case("config", draw.choice(cheap + WITH_BASE), ("base", "a", "rows.jsonl"), files, ("base",))


@kind(8)
def tokenizer(draw: Random, place: Path) -> Case:
    there = [p.name for p in (place / "base").glob("*.json") if "token" in p.name or "generation" in p.name]
    name = draw.choice(sorted(there))
    files = {f"base/{name}": json_or_bytes(draw, place / "base" / name)}
    return Case("tokenizer", draw.choice(WITH_BASE), ("base", "a", "rows.jsonl"), files, ("base", "tokenizer"))


@kind(6)
def template(draw: Random, place: Path) -> Case:
    raw = (place / "base/chat_template.jinja").read_bytes()
    bad = draw.choice(TEMPLATES).encode() if draw.random() < 0.6 else bytes_damage(draw, raw)
    bad = draw.choice([bad, raw + bad, bad + raw])
    command = draw.choice(WITH_BASE[:4])
    return Case("template", command, ("base", "rows.jsonl"), {"base/chat_template.jinja": bad}, ("template", "base"))


@kind(8)
def weights(draw: Random, place: Path) -> Case:
    path = draw.choice(sorted((place / "base").glob("*.safetensors*")))
    damage = json_or_bytes(draw, path) if path.suffix == ".json" else tensors_damage(draw, path.read_bytes())
    return Case(
        "weights", draw.choice(WITH_BASE), ("base", "a", "rows.jsonl"), {f"base/{path.name}": damage}, ("base",)
    )


@kind(3)
def foreign_model(draw: Random, place: Path) -> Case:
    """Code and pickles beside the weights: nothing of it may run."""
    about = json.loads((place / "base/config.json").read_text())
    about["auto_map"] = {
        "AutoModelForCausalLM": "evil.Evil",
        "AutoConfig": "evil.Config",
        "AutoTokenizer": ["evil.T", None],
    }
    if draw.random() < 0.7:
        about["model_type"] = draw.choice(["evil", "llama", "gpt2", "bert", "t5", "mamba", "xlm", "vit"])
    files = {"base/config.json": dumped(about), "base/evil.py": b"open('canary', 'w')\n"}
    if draw.random() < 0.5:
        files["base/pytorch_model.bin"] = b"cposix\nsystem\n(S'touch canary'\ntR."
        files["base/model.safetensors.index.json"] = b"{}"
    return Case("foreign_model", draw.choice(WITH_BASE), ("base", "a", "rows.jsonl"), files, ("base",))


P_NAMES = ("p/", "p ", "p:", "unknown model")


@kind(10)
def peft_config(draw: Random, place: Path) -> Case:
    about = json.loads((place / "p/adapter_config.json").read_text())
    if draw.random() < 0.5:
        name = draw.choice(
            ["target_modules", "rank_pattern", "alpha_pattern", "layers_to_transform", "exclude_modules"]
        )
        about[name] = draw.choice(
            [value(draw), draw.choice(PATTERNS), {draw.choice(PATTERNS): 4}, [draw.choice(PATTERNS)]]
        )
        raw = dumped(about)
    else:
        raw = json_or_bytes(draw, place / "p/adapter_config.json")
    return Case(
        "peft_config",
        with_adapter(draw, "p"),
        ("base", "p"),
        {"p/adapter_config.json": raw},
        P_NAMES,
    )


@kind(10)
def native_adapter(draw: Random, place: Path) -> Case:
    name = draw.choice(["q/rankwise.json"] * 3 + ["q/adapter_config.json", "o/rankwise.json", "o/rankwise.sha256"])
    path = place / name
    raw = bytes_damage(draw, path.read_bytes()) if path.suffix != ".json" else json_or_bytes(draw, path)
    folder = name[0]
    names = (f"{folder}/", f"{folder} ", f"{folder}:")
    return Case("native_adapter", with_adapter(draw, folder), ("base", folder), {name: raw}, names)


@kind(10)
def adapter_tensors(draw: Random, place: Path) -> Case:
    path = draw.choice([p for folder in "poqa" for p in sorted((place / folder).glob("*.safetensors"))])
    folder = path.parent.name
    files = {f"{folder}/{path.name}": tensors_damage(draw, path.read_bytes())}
    names = (f"{folder}/", f"{folder} ", f"{folder}:")
    return Case("adapter_tensors", with_adapter(draw, folder), ("base", folder), files, names)


@kind(14)
def data(draw: Random, place: Path) -> Case:
    name = draw.choice(["rows.jsonl", "rows.json", "rows.csv", "rows.parquet", "turns.jsonl"])
    raw = (place / name).read_bytes()
    if name.endswith("jsonl") and draw.random() < 0.7:
        lines = raw.splitlines()
        for _ in range(draw.choice([1, 1, 5])):
            n = draw.randrange(len(lines))
            lines[n] = dumped(json_damage(draw, json.loads(lines[n]))) if draw.random() < 0.8 else lines[n][: n + 9]
            if lines[n][:1] not in (b"{", b"["):
                break
        raw = b"\n".join(lines)
    elif name == "rows.json" and draw.random() < 0.7:
        raw = dumped(json_damage(draw, json.loads(raw)))
    elif name == "rows.parquet" and draw.random() < 0.5:
        raw = strange_parquet(draw)
    else:
        raw = bytes_damage(draw, raw)
    skip = draw.choice(["", "", "skip-bad-rows:", "keep-control-tokens:"])
    command = draw.choice(
        [
            ["doctor", "--model", "base", "--data", skip + name],
            ["doctor", "--model", "tiny", "--data", skip + name],
            ["generate", "--file", name, "--model", "base", *ONE],
            ["train", "--scale", "smoke", "--data", skip + name, *sound.SMALL, "--set", "steps=1", "--out", "out"],
            ["eval", "--model", "tiny", "--data", skip + name, "--examples", "2", "--answers", "0"],
        ]
    )
    return Case("data", command, ("base",), {name: raw}, (name,))


def strange_parquet(draw: Random) -> bytes:
    """Columns of types that no prompt has."""
    import io

    import pyarrow as pa
    import pyarrow.parquet

    columns = [
        pa.array([2**62, None, 5], pa.timestamp("us")),
        pa.array([b"\xff\xfe", b"", None], pa.binary()),
        pa.array([[1], None, []], pa.list_(pa.int64())),
        pa.array([{"a": 1}, None, {"a": 2}]),
        pa.array([1e308, float("nan"), None]),
        pa.array([2**40, 1, None], pa.duration("us")),
        pa.array([text_value(draw).encode("utf-8", "replace").decode() for _ in range(3)]),
        pa.nulls(3),
        pa.array(["a", "b", "a"]).dictionary_encode(),
    ]
    names = draw.choice([["prompt", "completion"], ["text", "label"], ["a", "b"], ["prompt", "\x1b[31m"]])
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(dict(zip(names, draw.choices(columns, k=2), strict=True))), file)
    return file.getvalue()


@kind(3)
def labels(draw: Random, place: Path) -> Case:
    name = draw.choice(["classes/labels.json", "classes/train.jsonl", "classes/test.jsonl"])
    raw = (place / name).read_bytes()
    bad = json_or_bytes(draw, place / name) if name.endswith("s.json") else bytes_damage(draw, raw)
    command = ["doctor", "--model", "tiny", "--data", "classes", *draw.choice([[], ["--json"]])]
    return Case("labels", command, ("classes",), {name: bad}, ("classes",))


@kind(3)
def columns(draw: Random, place: Path) -> Case:
    text = draw.choice(
        [
            "prompt={prompt},completion=why",
            "prompt={",
            "prompt={prompt.__class__},completion={0}",
            "prompt=,completion=",
        ]
    )
    text = bytes_damage(draw, text.encode()).decode(errors="replace").replace("\0", "") if draw.random() < 0.6 else text
    command = ["doctor", "--model", "tiny", "--data", "rows.jsonl", f"--columns={text}"]
    return Case("columns", command, ("rows.jsonl",), {}, ("column", "rows.jsonl"))


@kind(3)
def scores(draw: Random, place: Path) -> Case:
    files = {"scores.csv": bytes_damage(draw, (place / "scores.csv").read_bytes())}
    return Case("scores", ["analyze", "olora", "--study", "scores.csv", "--out", "out"], (), files, ("scores.csv",))


def _spoiled_yaml(draw: Random, path: Path) -> bytes:
    import yaml

    if draw.random() < 0.4:
        return bytes_damage(draw, path.read_bytes())
    return dumped(json_damage(draw, yaml.safe_load(path.read_text())))


@kind(8)
def study_file(draw: Random, place: Path) -> Case:
    files = {"mine.yaml": _spoiled_yaml(draw, place / "mine.yaml")}
    command = ["study", "mine.yaml", "--dry-run", "--out", "out", *draw.choice([[], ["--json"]])]
    return Case("study_file", command, (), files, ("mine.yaml", "setting", "--set"))


@kind(8)
def stream_file(draw: Random, place: Path) -> Case:
    files = {"stream.yaml": _spoiled_yaml(draw, place / "stream.yaml")}
    command = ["chain", "stream.yaml", "--dry-run", "--out", "out", *draw.choice([[], ["--json"]])]
    return Case("stream_file", command, (), files, ("stream.yaml",))


SETTINGS = [
    *("steps", "batch", "lr", "sizes", "sizes.train", "seed", "max_length", "eval_every", "learning_rates", "methods"),
    *(
        "rank",
        "budget",
        "budget.seconds",
        "fresh_seeds",
        "dtype",
        "model",
        "data",
        "scale",
        "search",
        "arms",
        "finalists",
    ),
    *(
        "steps.x",
        "",
        ".",
        "a..b",
        "__class__",
        "measure",
        "checkpoint_seconds",
        "completion_style",
        "margin",
        "columns",
    ),
]


@kind(10)
def settings(draw: Random, place: Path) -> Case:
    command = draw.choice(
        [
            ["study", "smoke", "--dry-run"],
            ["train", "--scale", "smoke", "--dry-run"],
            ["chain", "stream.yaml", "--dry-run"],
        ]
    )
    names = []
    for _ in range(draw.choice([1, 1, 2])):
        name = draw.choice(SETTINGS) if draw.random() < 0.8 else "method." + draw.choice(["rank", "alpha", "x", "init"])
        few = draw.choice([0, -1, 10**22, 1.5, [1, "x"], {"a": 1}])
        said = draw.choice([text_value(draw), _text(value(draw)), _text(few)])
        command = [*command, "--set", f"{name}={said}"]
        names += ["arm ", name.partition(".")[0] or "--set", name.rpartition(".")[2] or "--set", name]
    return Case("settings", [_typed(word) for word in command], ("stream.yaml",), {}, ("--set", "setting", *names))


OPTIONS = {
    "cost --no-calibrate": [
        "--model",
        "--method",
        "--rank",
        "--alpha",
        "--placement",
        "--batch",
        "--length",
        "--steps",
    ],
    "study smoke --dry-run": [
        "--budget",
        "--methods",
        "--model",
        "--data",
        "--seeds",
        "--seed",
        "--reference",
        "--steps",
    ],
    "train --scale smoke --dry-run": [
        "--method",
        "--rank",
        "--alpha",
        "--placement",
        "--lr",
        "--seed",
        "--batch",
        "--out",
    ],
    "generate hi --model tiny": ["--max-new-tokens", "--batch", "--system", "--model", "--file", "--adapter"],
    "methods": ["--family", "--x", ""],
    "analyze": ["--ranks", "--lr", "--dimensions", "--samples", "--out"],
    "analyze toys": ["--ranks", "--scale", "--seed"],
    "chain stream.yaml --dry-run": ["--references", "--seeds", "--model", "--scale"],
    "ledger export .": ["--to", "--out"],
    "": ["", "study", "nonsense"],
}


@kind(12)
def options(draw: Random, place: Path) -> Case:
    verb = draw.choice(list(OPTIONS))
    name = draw.choice(OPTIONS[verb])
    said = draw.choice([text_value(draw), _text(value(draw)), "regex:" + draw.choice(PATTERNS)])
    words = [
        *verb.split(),
        *([name] if draw.random() < 0.1 else [f"{name}={said}"] if name.startswith("--") else [name, said]),
    ]
    if draw.random() < 0.15:
        words.append(text_value(draw))
    return Case("options", [_typed(word) for word in words], ("stream.yaml",), {}, ())


def _text(found: object) -> str:
    return dumped(found).decode()


def _typed(word: str) -> str:
    """What a shell can hand over: no NUL, no more than 128 KiB, and half characters only as bytes."""
    word = re.sub("[\ud800-\udfff]", "\udcff", word.replace("\0", ""))
    return word[:100_000]


@kind(5)
def prompts(draw: Random, place: Path) -> Case:
    text = draw.choice(
        [text_value(draw), "hi " * 3000, bytes_damage(draw, "xin chào 2 + 2".encode()).decode(errors="replace")]
    )
    if draw.random() < 0.5:
        raw = bytes_damage(draw, (place / "prompts.txt").read_bytes())
        return Case(
            "prompts",
            ["generate", "--file", "prompts.txt", "--model", "base", *ONE],
            ("base",),
            {"prompts.txt": raw},
            ("prompts.txt", "prompt"),
        )
    command = ["generate", "--model", draw.choice(["base", "tiny"]), *ONE, "--", _typed(text)]
    return Case("prompts", command, ("base",), {}, ("prompt", "argument"))


@kind(8)
def results(draw: Random, place: Path) -> Case:
    """``results.json``: damaged, or saying something else under a digest of its own."""
    folder = draw.choice(["study", "study", "study", "chain"])
    about = json.loads((place / folder / "results.json").read_text())
    about.pop("digest")
    part = draw.random()
    if part < 0.2:
        raw = json_or_bytes(draw, place / folder / "results.json")
    else:
        changed = json_damage(draw, about)
        try:
            raw = dumped(sealed(changed) if part < 0.6 else changed)
        except (ValueError, TypeError):
            raw = dumped(changed)
    command = draw.choice(
        [
            ["report", folder, "--json"],
            ["report", folder, "--json"],
            ["train", "--from", folder, "--dry-run"],
            ["report", folder, "study", "--json"],
            ["analyze", "olora", "--study", folder, "--out", "out"],
            ["report", folder],
        ]
    )
    return Case("results", command, ("study", folder), {f"{folder}/results.json": raw}, (folder,))


@kind(6)
def ledger(draw: Random, place: Path) -> Case:
    raw = (place / "study/ledger.sqlite").read_bytes()
    raw = bytes_damage(draw, raw) if draw.random() < 0.5 else _other_cells(draw, raw)
    export = ["ledger", "export", "study", "--to", draw.choice(["csv", "jsonl", "parquet"])]
    command = draw.choice([export, export, ["report", "study", "--json"], sound.STUDY])
    return Case("ledger", command, ("study",), {"study/ledger.sqlite": raw}, ("study",))


def _other_cells(draw: Random, raw: bytes) -> bytes:
    """A ledger that is sound as a database, and says something else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "l")
        path.write_bytes(raw)
        with sqlite3.connect(path) as base:
            for _ in range(draw.choice([1, 2])):
                column = draw.choice(
                    ["label", "spec", "reason", "result", "seconds", "started", "restarted_at_step", "digest"]
                )
                found = value(draw)
                if not isinstance(found, int | float | None) or abs(found or 0) > 2**60:
                    found = _text(found) if draw.random() < 0.5 else draw.randbytes(9)
                digest = f", digest = '{UNVERIFIED}'" if column != "digest" and draw.random() < 0.6 else ""
                try:
                    base.execute(f"UPDATE OR IGNORE runs SET {column} = ?{digest} WHERE rowid % 3 = 0", (found,))
                except sqlite3.Error:
                    continue
        base.close()
        return path.read_bytes()


@kind(4)
def checkpoint(draw: Random, place: Path) -> Case:
    """What a run left in the middle: the run is redone or goes on, to the same end."""
    found = sorted(p for p in (place / "mid").rglob("*") if p.is_file() and p.name != ".lock")
    path = draw.choice(found)
    name = str(path.relative_to(place))
    raw = (
        tensors_damage(draw, path.read_bytes())
        if path.suffix == ".safetensors"
        else bytes_damage(draw, path.read_bytes())
    )
    return Case("checkpoint", sound.TRAIN, ("mid",), {name: raw}, ("mid",))


@kind(2)
def study_folder(draw: Random, place: Path) -> Case:
    """Any small file of a finished study or chain; the same command is repeated."""
    folder, command = draw.choice([("study", sound.STUDY), ("chain", sound.CHAIN)])
    found = sorted(p for p in (place / folder).rglob("*") if p.is_file() and p.stat().st_size < 300_000)
    path = draw.choice(found)
    files = {str(path.relative_to(place)): bytes_damage(draw, path.read_bytes())}
    return Case("study_folder", command, (folder, "stream.yaml"), files, (folder,))
