"""For tests of the lock."""

import subprocess
import sys

_SCRIPT = """
import sys, time
from rankwise.ledger import StudyLock
with StudyLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder):
    """Start a process that holds the lock of ``folder``; return it once it does."""
    holder = subprocess.Popen([sys.executable, "-c", _SCRIPT, folder], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    return holder
