"""The words of a verdict: what result files hold and code compares. How people read them is another thing.

The text of a key never changes, or older result files would no longer be understood; the prose in sentences
(:mod:`rankwise.stats.verdict`) and on badges (``report/wording.py``) may.
"""

from __future__ import annotations

from typing import Final, Literal

MATCHES: Final = "matches or beats"
FALLS_SHORT: Final = "falls short"
UNDECIDED: Final = "undecided"
NO_VERDICT: Final = "no verdict"
SCREENED: Final = "screened"  # no fresh seeds, so not judged
REFERENCE: Final = "reference"  # what the others are judged against

Word = Literal["matches or beats", "falls short", "undecided", "no verdict"]  # of an arm that was judged
ArmWord = Literal["matches or beats", "falls short", "undecided", "no verdict", "screened", "reference"]  # of any arm
