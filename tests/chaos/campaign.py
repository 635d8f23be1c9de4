"""The campaign: damaged and hostile inputs through the real command, then flipped bits; how it ends is one line.

``python -m tests.chaos.campaign --inputs 2000 --flips 1000 --seed 0`` (``make chaos``); the same seed draws the same
inputs. ``--minutes 10`` goes on with new seeds until the time is over (``make fuzz`` where atheris is not there).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import transformers.models.llama.modeling_llama  # noqa: F401 (imported once, for all children)

import rankwise.analysis
import rankwise.continual.chain
import rankwise.integrations.export.run
import rankwise.integrations.merge.run
import rankwise.report
import rankwise.studies.api  # noqa: F401
from rankwise.cli.main import main
from rankwise.models import default, hub
from tests.chaos import sound
from tests.chaos.child import MEMORY, SECONDS, Ended, run
from tests.chaos.inputs import KINDS, Case, draw_case

CORPUS = Path(__file__).parent / "corpus"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # \t and \n may stand
LONGEST = 2500  # characters of a sentence
MEANINGS = {0: "done", 1: "a fault while it ran", 2: "bad input", 3: "done, and some runs or rows had faults"}
LATE, TRACEBACK = "over its time limit", "a traceback"


def tree(folder: Path) -> set[str]:
    """Every file and folder below."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def judge(case: Case, ended: Ended, before: set[str], after: set[str]) -> list[str]:
    """Return what is wrong with how a command ended."""
    err = ended.err.decode("utf-8", "replace")
    wrong = []
    if ended.late or ended.seconds > SECONDS:
        wrong.append(LATE)
    elif ended.code not in MEANINGS:
        wrong.append(f"{TRACEBACK}: exit code {ended.code}")
    if "Traceback (most recent" in err or "please report" in err:
        wrong.append(TRACEBACK)
    if ended.memory > MEMORY:
        wrong.append(f"took {ended.memory / 2**20:,.0f} MiB")
    said = (err.strip().splitlines() or [""])[-1]
    if ended.code in (1, 2) and not wrong:
        if not said.startswith(("rankwise: ", "Error: ")):
            wrong.append(f"its last line is no sentence of ours: {said[:80]!r}")
        elif case.names and not any(name in said for name in case.names):
            wrong.append(f"names none of {', '.join(case.names)}: {said[:300]!r}")
        if len(said) > LONGEST:
            wrong.append(f"a sentence of {len(said):,} characters")
    if found := CONTROL.search(ended.out.decode("utf-8", "replace") + err):
        wrong.append(f"prints the control character {found[0]!a}")
    if ended.strayed:
        wrong.append(f"leaves its folder: {ended.strayed[0]}")
    if any(Path(name).name == "canary" for name in after):
        wrong.append("ran code that came with the input")
    new = sorted(name for name in after - before if not name.endswith(".lock"))
    if left := [name for name in new if name.endswith(".tmp")]:
        wrong.append(f"left {left[0]}")
    elif ended.code in (1, 2) and (left := [name for name in new if name == "out" or name.startswith("out/")]):
        wrong.append(f"half an output: {', '.join(left[:3])}")
    return wrong


class Scene:
    """Where cases are played: the sound files, and a folder that is made anew for each."""

    def __init__(self, scratch: Path, *, quick: bool = False) -> None:
        self.scratch, self.sound, self.log = scratch, scratch / "sound", scratch / "log"
        self.stage = scratch / "stage"
        os.environ.update(RANKWISE_CACHE=str(scratch / "cache"), HF_HUB_OFFLINE="1", HF_HOME=str(scratch / "hub"))
        os.environ["HF_DATASETS_CACHE"] = str(scratch / "datasets")
        # The default model is a minute's work to unpack, and no input of ours; a hub's name is told to nobody.
        default._installed_gguf = lambda: None
        hub.probe = lambda *_: None
        for folder in (self.sound, self.log):
            folder.mkdir(parents=True)
        made = run(lambda: sound.make(trained=not quick) or 0, self.sound, self.log)
        assert made.code == 0, made.err.decode()

    def play(self, case: Case) -> tuple[Ended, list[str]]:
        """Run a case; return how it ended and what is wrong with that."""
        shutil.rmtree(self.stage, ignore_errors=True)
        self.stage.mkdir()
        for name in dict.fromkeys(case.needs):
            source = self.sound / name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, self.stage / name)
        for name, raw in case.files.items():
            (self.stage / name).parent.mkdir(parents=True, exist_ok=True)
            (self.stage / name).write_bytes(raw)
        (self.stage / "tmp").mkdir()
        before = tree(self.stage)
        ended = run(lambda: _main(case.command), self.stage, self.log)
        return ended, judge(case, ended, before, tree(self.stage))


def _main(command: list[str]) -> int:
    os.environ["TMPDIR"] = tempfile.tempdir = os.path.abspath("tmp")
    return main(command)


def corpus(folder: Path = CORPUS) -> Iterator[tuple[str, Case]]:
    """Every case that once failed."""
    for path in sorted(folder.glob("*.json")):
        yield path.stem, Case.from_json(path.read_text())


class Count:
    """What has been seen so far, and the line that says it."""

    def __init__(self, whole: int, until: float | None) -> None:
        self.whole, self.until, self.start, self.done = whole, until, time.monotonic(), 0
        self.codes: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.late = self.traced = self.other = 0
        self.slowest = (0.0, "")

    def add(self, name: str, case: Case, ended: Ended, wrong: list[str]) -> None:
        self.done += 1
        self.codes[ended.code] += 1
        self.kinds[case.kind] += 1
        self.slowest = max(self.slowest, (ended.seconds, name))
        self.late += LATE in wrong
        self.traced += any(text.startswith(TRACEBACK) for text in wrong)
        self.other += bool(wrong) and LATE not in wrong and not any(text.startswith(TRACEBACK) for text in wrong)

    def line(self) -> str:
        refused = sum(count for code, count in self.codes.items() if code in (1, 2))
        return (
            f"{self.done:,} inputs ({refused:,} refused with a sentence), {self.traced} tracebacks, {self.late} over "
            f"their time limit, {self.other} other faults"
        )

    def left(self) -> str:
        spent = time.monotonic() - self.start
        left = self.until - time.monotonic() if self.until else spent / max(self.done, 1) * (self.whole - self.done)
        return f"about {left:.0f} s left"


def cases(scene: Scene, given: argparse.Namespace, until: float | None) -> Iterator[tuple[str, Case]]:
    """The corpus, then drawn cases: so many, or until a time."""
    if given.only is None:
        yield from (found for found in corpus() if all((scene.sound / name).exists() for name in found[1].needs))
    number = 0
    while time.monotonic() < until if until else number < given.inputs:
        name = f"{given.seed}-{number}"
        case = draw_case(given.seed, number, scene.sound, quick=given.quick)
        if given.only in (None, case.kind, name):
            yield name, case
        number += 1


def campaign(arguments: argparse.Namespace) -> int:
    """Play everything and print how it went; return 1 when anything is wrong."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rankwise-chaos-") as scratch:
        scene = Scene(Path(scratch).resolve(), quick=arguments.quick)
        until = time.monotonic() + 60 * arguments.minutes if arguments.minutes else None
        count, told = Count(arguments.inputs, until), time.monotonic()
        for name, case in cases(scene, arguments, until):
            ended, wrong = scene.play(case)
            count.add(name, case, ended, wrong)
            for text in wrong:
                print(f"{name} {case.kind}: {text}\n  rankwise {' '.join(case.command)[:300]}", flush=True)
            if wrong and arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                (arguments.keep / f"{case.kind}-{name}.json").write_text(case.to_json())
            if arguments.verbose:
                words = (ended.err.decode("utf-8", "replace").strip().splitlines() or [""])[-1]
                print(
                    f"{name} {case.kind} {ended.code} {ended.seconds:.2f} s {ended.memory >> 20} MiB: {words[:300]}",
                    flush=True,
                )
            if time.monotonic() - told > 15:
                told = time.monotonic()
                print(f"{count.line()}; {count.left()}", flush=True)
        missed: list[str] = []
        if arguments.flips:
            from tests.chaos.flips import flip_all

            missed = flip_all(Path(scratch) / "flips", arguments.flips, arguments.seed)
            for text in missed:
                print(f"undetected: {text}", flush=True)
        print(
            f"{count.line()}, {len(missed)} undetected of {arguments.flips:,} flips; seed {arguments.seed}, slowest "
            f"{count.slowest[0]:.1f} s, {time.monotonic() - started:.0f} s in all"
        )
        if arguments.verbose:
            print(dict(count.kinds), dict(count.codes))
        return int(bool(count.late or count.traced or count.other or missed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="go on with new inputs for so long")
    parser.add_argument("--quick", action="store_true", help="only what needs nothing trained and takes a moment")
    parser.add_argument("--only", help=f"a kind ({', '.join(KINDS)}), or one input by its name")
    parser.add_argument("--keep", type=Path, help="folder for inputs that fail")
    parser.add_argument("--verbose", action="store_true", help="a line for each input")
    sys.exit(campaign(parser.parse_args()))
