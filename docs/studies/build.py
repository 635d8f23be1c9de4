"""Runs the analyses at the quick scale and writes their pages: NAME.md, NAME.json and figures/NAME.png, and the index.

make analyses                            all of them, one after another (about half an hour on two idle cores)
python docs/studies/build.py scale toys  some of them
python docs/studies/build.py --index     only the pages, figures and the index, from the JSON files that are there

`olora` and `which-matrices` read a finished study in runs/NAME-quick; without one they are left out, with a word.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from rankwise.analysis import ANALYSES
from rankwise.files import replacing, write_text
from rankwise.report.findings import figure, markdown

HERE = Path(__file__).parent
RUNS = Path("runs")
# Page name to the command's own arguments; a page is one claim.
PAGES = {
    **{name: [name] for name in ANALYSES if name not in ("olora", "which-matrices")},
    "spectrum-trained": ["spectrum", "--train"],
    "olora": ["olora", "--study", str(RUNS / "olora-quick"), "--train"],
    "which-matrices": ["which-matrices", "--study", str(RUNS / "which-matrices-quick")],
}


def measure(page: str) -> bool:
    """Run one analysis and keep its JSON and its figure; return whether it ran."""
    arguments = PAGES[page]
    study = Path(arguments[arguments.index("--study") + 1]) if "--study" in arguments else None
    if study is not None and not study.is_dir():
        print(f"{page}: left out, there is no {study}; first run: rankwise study {page}", flush=True)
        return False
    out = RUNS / f"analyze-{page}"
    print(f"{page}: rankwise analyze {' '.join(arguments)}", flush=True)
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "rankwise", "analyze", *arguments, "--out", str(out)], check=False)
    if done.returncode:
        print(f"{page}: failed with exit code {done.returncode}; its page is left as it was", flush=True)
        return False
    found = json.loads((out / "finding.json").read_text(encoding="utf-8"))
    found["command"] = " ".join(["rankwise", "analyze", *arguments])
    found["seconds"] = round(time.monotonic() - started)
    write_text(HERE / f"{page}.json", json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return True


def pages() -> None:
    """Write every page from its JSON, and the index."""
    lines = ["# Claims, held against the default model", ""]
    lines += ["Written by `make analyses`. Each word is decided by the rule on its page; one seed, few steps.", ""]
    lines += ["Times are of the whole command on two CPU cores, loading included and a study's own not.", ""]
    lines += ["Studies: [the four findings of LoRA without regret](lora-without-regret.md);"]
    lines += ["[why the loss jumps when LoRA is orthogonalized, and which event does not](orthogonalization.md);"]
    lines += [
        "[every method of the catalogue for a few steps](methods.md) and [those that act during training](dynamics.md);"
    ]
    lines += ["[three tasks one after another](stream.md).", ""]
    lines += ["Not claims but checks of our own statistics: [coverage of the intervals](coverage.md),"]
    lines += ["[looks after every seed](sequential.md), and [the verdict on real runs](calibration.md).", ""]
    lines += ["| claim | result | command | time |", "|---|---|---|---|"]
    for page, arguments in PAGES.items():
        path = HERE / f"{page}.json"
        command = f"`rankwise analyze {' '.join(arguments)}`"
        if not path.exists():
            lines.append(f"| {ANALYSES[arguments[0]].question} | not run yet | {command} | |")
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        write_text(HERE / f"{page}.md", markdown(found, f"figures/{page}.png"))
        with replacing(HERE / "figures" / f"{page}.png") as temporary:
            temporary.write_bytes(figure(found))
        took = f"{found['seconds']} s" if "seconds" in found else ""
        lines.append(f"| [{found['claim']}]({page}.md) | {found['word']} | {command} | {took} |")
    write_text(HERE / "README.md", "\n".join([*lines, ""]))


def main(names: list[str]) -> int:
    """Measure what is named (all by default), then write the pages."""
    if unknown := [name for name in names if name not in PAGES and name != "--index"]:
        print(f"unknown page {unknown[0]!r}; known: {', '.join(PAGES)}", file=sys.stderr)
        return 2
    ran = [measure(name) for name in ([] if names == ["--index"] else names or PAGES)]
    pages()
    return 0 if all(ran) or not names else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
