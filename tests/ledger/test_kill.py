"""kill -9 at seeded moments in the middle of writes: what was acknowledged is there, exactly; the rest is whole."""

import random
import subprocess
import sys
import time

import pytest

from rankwise.ledger import Ledger, StudyFolder, StudyLock, metrics

WRITE = """
import sys
from rankwise.ledger import Ledger, MetricsLog, StudyFolder, StudyLock
folder = StudyFolder(sys.argv[1])
with StudyLock(folder.path):
    folder.clean_temporaries()
    folder.open_or_create({"arms": []})
    with Ledger(folder.path) as ledger:
        begin = len(ledger.runs())
        print("open", flush=True)
        for n in range(begin, 100_000):
            key = f"{n:016x}"
            ledger.ensure(key, f"run {n}", {"n": n, "text": "x" * 3000})
            ledger.start(key)
            with MetricsLog(folder.run_folder(key)) as log:
                log.append({"step": 1, "loss": n / 7})
            ledger.finish(key, "done", {"nll": n / 7, "text": "y" * 6000}, seconds=n / 3)
            print(key, flush=True)
"""


@pytest.mark.parametrize("seed", range(2))
def test_kill_dash_nine(tmp_path, seed):
    draw = random.Random(seed)
    path = tmp_path / "study"
    acknowledged = []
    for kills in range(1, 5):
        writer = subprocess.Popen([sys.executable, "-c", WRITE, path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout.readline() == "open\n"
        acknowledged += [writer.stdout.readline().strip() for _ in range(draw.randint(1, 8))]
        time.sleep(draw.uniform(0.0, 0.02))  # a run takes a few milliseconds: any of its writes can be hit
        writer.kill()
        said, _ = writer.communicate()
        acknowledged += said.split("\n")[:-1]
        with StudyLock(path), Ledger(path) as ledger:
            runs = {run.key: run for run in ledger.runs()}
            assert len(ledger.interrupted()) <= kills
        for key in acknowledged:
            n = int(key, 16)
            assert runs[key].status == "done"
            assert runs[key].result == {"nll": n / 7, "text": "y" * 6000}
            assert runs[key].seconds == n / 3
            curve = metrics.read(StudyFolder(path).run_folder(key) / metrics.NAME)
            assert list(curve) == [{"step": 1, "loss": n / 7}]
        unsaid = set(runs) - set(acknowledged)
        assert len(unsaid) <= 2 * kills  # per kill at most the run under way, and one whose print was cut off
    assert len(acknowledged) == len(set(acknowledged)) >= 4


@pytest.mark.parametrize("seed", range(6))
def test_kill_while_the_study_is_created(tmp_path, seed):
    path = tmp_path / "study"
    delay = random.Random(seed).uniform(0.02, 0.2)  # spans interpreter start, study.yaml and the empty ledger
    writer = subprocess.Popen([sys.executable, "-c", WRITE, path], stdout=subprocess.DEVNULL)
    time.sleep(delay)
    writer.kill()
    writer.wait()
    folder = StudyFolder(path)
    with StudyLock(path):
        folder.clean_temporaries()
        assert folder.open_or_create({"arms": []}) in ("created", "resumed")
        with Ledger(path) as ledger:
            assert all(run.spec["text"] == "x" * 3000 for run in ledger.runs())


HALF_WRITTEN = """
import os, signal, sys
from rankwise.ledger import Ledger
ledger = Ledger(sys.argv[1])
ledger._db.execute("PRAGMA cache_size = 1")  # changed pages go to the file before the commit
ledger._db.execute("BEGIN IMMEDIATE")
ledger._db.execute("UPDATE runs SET spec = '{\\"n\\":' || substr(quote(zeroblob(1500)), 3, 2900) || '}'")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("read_only", [False, True])
def test_a_kill_with_half_a_commit_in_the_file_is_undone(tmp_path, read_only):
    with Ledger(tmp_path) as ledger:
        for n in range(60):
            ledger.ensure(f"{n:016x}", f"run {n}", {"n": n, "text": "x" * 3000})
        before = ledger.runs()
    whole = ledger.path.read_bytes()
    died = subprocess.run([sys.executable, "-c", HALF_WRITTEN, tmp_path])
    assert died.returncode == -9
    assert ledger.path.read_bytes() != whole  # the kill did hit the middle of a write
    with Ledger(tmp_path, read_only=read_only) as ledger:
        assert ledger.runs() == before
