"""Runs a verb again and again, killed at its first write event, its second, and so on.

``python -m tests.chaos.killed FOLDER MOST VERB...``; 0 tries every event.

A write event is what Python's audit hooks tell of below the scratch folder (open for writing, mkdir, rename, unlink,
copy, chmod, a database opened) and every fsync. After each kill the verb runs once undisturbed; what it leaves must be
what it leaves without a kill, and nothing else. Children are forked from a process that has imported and not run
anything (thread pools do not live through a fork), so that torch is imported once.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import transformers.models.llama.modeling_llama  # noqa: F401 (imported once, for all children)

import rankwise.continual.conductor
import rankwise.integrations.export.run
import rankwise.integrations.merge.run
import rankwise.studies.api  # noqa: F401
from rankwise.cli.main import main
from rankwise.methods import lora
from tests.interop.tools import adapter_folder, base_folder

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.link", "shutil.copyfile"}
SMALL = [
    *("--set", "steps=2", "--set", "eval_every=1", "--set", "sizes={train: 8, selection: 2, test: 4}"),
    *("--set", "checkpoint_seconds=0"),
]
STREAM = {
    "scale": "smoke",
    "steps": 2,
    "train": 8,
    "test": 2,
    "rank": 2,
    "strategies": ["sequential", "per_task"],
    "tasks": [{"id": "en", "data": "word-problems:en"}, {"id": "vi", "data": "word-problems:vi"}],
}
OUT, NEXT = "out", "next"


def arguments(verb: str, root: Path, out: str) -> list[str]:
    """The command line that writes ``root/out``."""
    a, to = str(root / "a"), ["--out", str(root / out)]
    small = [*SMALL, "--set", "measure=false"]
    rates = ["--set", "search=grid", "--set", "learning_rates={lora-r4: [0.001], full: [0.0001]}"]
    return {
        "export": ["export", a, "--for", "vllm", *to],
        "export gguf": ["export", a, "--for", "gguf", *to],
        "merge": ["merge", str(root / "base"), a, *to],
        "compress": ["compress", a, "--rank", "1", *to],
        "train": ["train", "--method", "lora", "--rank", "2", "--scale", "smoke", *SMALL, *to],
        "train full": ["train", "--method", "full", "--scale", "smoke", *SMALL, *to],
        "study": ["study", "smoke", "--methods", "lora-r4", "--seeds", "2", *small, *rates, *to],
        "chain": ["chain", str(root / "stream.yaml"), *to],
        "report": ["report", str(root / OUT)],
        "ledger export": ["ledger", "export", str(root / OUT), "--to", "csv"],
    }[verb]


RESUMED = {"train", "train full", "study", "chain", "report", "ledger export"}  # repeated as they are; others anew
IN_A_STUDY = {"report": "study", "ledger export": "study"}


def prepare(verb: str, root: Path) -> None:
    """What the verb starts from."""
    if verb in ("merge", "compress") or verb.startswith("export"):
        model = base_folder(root / "base")
        adapter_folder(model, root / "a", lora(2), root / "base")
    if verb == "chain":
        (root / "stream.yaml").write_text(json.dumps(STREAM))
    if verb in IN_A_STUDY:
        assert main(arguments(IN_A_STUDY[verb], root, OUT)) == 0


def forked(
    command: list[str] | Callable[[], None], root: Path, kill_at: int | None = None, log: Path | None = None
) -> tuple[int, list[str]]:
    """Run ``command`` in a child, killed before its write event number ``kill_at``; return its status and events."""
    pid = os.fork()
    if not pid:
        seen = [0]
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2) if "-v" not in sys.argv else ():
            os.dup2(null, stream)
        told = open(log, "w") if log else None  # noqa: SIM115 (the child ends by os._exit)

        def event(what: str) -> None:
            seen[0] += 1
            if told:
                told.write(what + "\n")
                told.flush()
            if seen[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(name: str, args: tuple) -> None:
            if name == "open":
                path, _, flags = args
                if not (isinstance(flags, int) and flags & WRITING and inside(path)):
                    return
            elif name == "sqlite3.connect":
                path = args[0]
            elif name in EVENTS:
                path = args[0]
                if not inside(path):
                    return
            else:
                return
            event(f"{name} {path}")

        def inside(path: object) -> bool:
            return isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(str(root))

        sync = os.fsync

        def fsync(handle: int) -> None:
            event("fsync")
            sync(handle)

        os.fsync = fsync
        sys.addaudithook(hook)
        code = 99
        try:
            code = main(command) if isinstance(command, list) else command() or 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    events = log.read_text().splitlines() if log else []
    return (-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), events


def left_over(root: Path) -> list[str]:
    """Temporaries of any kind, by name."""
    return sorted(str(p.relative_to(root)) for p in root.rglob(".*") if p.name != ".lock")


def contents(folder: Path) -> dict[str, str]:
    """Hashes of what does not hold a clock: of results, the results."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name.startswith(("ledger.sqlite", "report.html", ".lock", "metrics.jsonl")):
            continue
        if path.name in ("README.md", "rankwise.sha256", "runs.csv", "runs-examples.csv"):  # names, times
            found[name] = "there"
            continue
        raw = path.read_bytes()
        if path.name == "results.json":
            raw = json.dumps(json.loads(raw)["results"], sort_keys=True).encode()
        found[name] = hashlib.sha256(raw).hexdigest()
    return found


def trial(verb: str, root: Path, pristine: Path, expected: dict[str, str], number: int) -> str | None:
    """Kill the verb at write event ``number``, run it once more, and return what is wrong then."""
    shutil.rmtree(root)
    shutil.copytree(pristine, root)
    status, _ = forked(arguments(verb, root, OUT), root, kill_at=number)
    if status != -signal.SIGKILL:
        return f"was not killed: {status}"
    out = OUT if verb in RESUMED else NEXT
    if out == NEXT and (root / OUT).exists() and contents(root / OUT) != expected:
        return "half an output"
    status, _ = forked(arguments(verb, root, out), root)
    if status != 0:
        return f"the next run ends with {status}"
    if left := left_over(root):
        return f"left over: {left[0]}"
    found = contents(root / out)
    if found != expected:
        differs = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
        return f"differs: {differs[0]}"
    return None


def run(verb: str, scratch: Path, most: int | None, seed: int) -> dict[str, object]:
    """Try every write event of a verb, or ``most`` of them."""
    root, pristine = scratch / "root", scratch / "pristine"
    root.mkdir(parents=True)
    assert forked(lambda: prepare(verb, root), root) == (0, [])
    shutil.copytree(root, pristine)
    status, events = forked(arguments(verb, root, OUT), root, log=scratch / "events")
    assert status == 0, (verb, status)
    expected = contents(root / OUT)
    numbers = list(range(1, len(events) + 1))
    if most is not None and most < len(numbers):
        numbers = sorted(random.Random(seed).sample(numbers, most))
    wrong = {}
    for number in numbers:
        if found := trial(verb, root, pristine, expected, number):
            wrong[f"{number}: {events[number - 1]}"] = found
    return {"verb": verb, "events": len(events), "tried": len(numbers), "wrong": wrong}


if __name__ == "__main__":
    place, most, *verbs = [argument for argument in sys.argv[1:] if argument != "-v"]
    for number, name in enumerate(verbs):
        done = run(name, Path(place) / str(number), int(most) or None, seed=number)
        print(json.dumps(done), flush=True)
