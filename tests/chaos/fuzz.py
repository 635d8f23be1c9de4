"""``make fuzz``: atheris, which follows the coverage of our code, over every reader; without it, the campaign.

``python tests/chaos/fuzz.py --minutes 10 [READER]``. The corpus is replayed first; an input that fails is kept there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
FOUND = HERE / "corpus" / "readers"


def by_coverage(name: str, seconds: int, seed: int) -> int:
    """Fuzz one reader in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["rankwise", "yaml", "tests"]):
        from tests.chaos.damage import TEXTS
        from tests.chaos.readers import read
        from tests.chaos.test_readers import GOOD

    import json

    keep = FOUND / name.replace(" ", "-")
    keep.mkdir(parents=True, exist_ok=True)
    seeds = Path(os.environ.get("TMPDIR", "/tmp"), f"rankwise-fuzz-{os.getpid()}")
    seeds.mkdir()
    for n, text in enumerate([*TEXTS, json.dumps(GOOD.get(name, {"prompt": "2", "completion": "4"}))]):
        (seeds / str(n)).write_bytes(text.encode("utf-8", "surrogatepass"))
    options = [f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=20", "-rss_limit_mb=4096", "-max_len=20000"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={keep}/", str(seeds)], lambda raw: read(name, raw))
    atheris.Fuzz()
    return 0


def main() -> int:
    """Replay the corpus, then fuzz for so many minutes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", nargs="?")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    if given.reader:
        return by_coverage(given.reader, max(int(60 * given.minutes), 1), given.seed)
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("atheris is not installed; the campaign's own generators run instead", flush=True)
        options = ["--minutes", str(given.minutes), "--flips", "0", "--seed", str(given.seed)]
        return subprocess.call([sys.executable, "-m", "tests.chaos.campaign", *options, "--keep", str(HERE / "corpus")])
    from tests.chaos.readers import READERS

    failed = []
    for name in READERS:
        print(f"{name}: {60 * given.minutes / len(READERS):.0f} s", flush=True)
        command = [sys.executable, __file__, name, "--seed", str(given.seed)]
        done = subprocess.run(
            [*command, "--minutes", str(given.minutes / len(READERS))], capture_output=True, text=True, check=False
        )
        lines = done.stderr.splitlines()
        print("  " + next((line for line in reversed(lines) if line.startswith(("Done", "#"))), "no runs"), flush=True)
        if done.returncode:
            failed.append(name)
            print("\n".join(lines[-30:]), flush=True)
    print(f"{len(READERS)} readers, {len(failed)} with faults{': ' + ', '.join(failed) if failed else ''}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))
    sys.exit(main())
