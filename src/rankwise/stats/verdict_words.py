"""The words of a verdict: what result files hold and code compares. How people read them is another thing.

The text of a key never changes, or older result files would no longer be understood; the prose in sentences
(:mod:`rankwise.stats.verdict`) and on badges (``report/wording.py``) may.
"""

from __future__ import annotations

from typing import Final, Literal

MATCHES: Final = "matches"  # keeps the gain, and its loss is close to the reference's
BEATS: Final = "beats"  # matches, and is below the reference
KEEPS: Final = "matches or beats"  # keeps the gain, and nothing else was asked: all margins of older files
FALLS_SHORT: Final = "falls short"
UNDECIDED: Final = "undecided"
NO_VERDICT: Final = "no verdict"
SCREENED: Final = "screened"  # no fresh seeds, so not judged
REFERENCE: Final = "reference"  # what the others are judged against

MATCHING: Final = (MATCHES, BEATS, KEEPS)  # may be recommended
CLAIMS: Final = (*MATCHING, FALLS_SHORT)  # nothing takes them back

Word = Literal["matches", "beats", "matches or beats", "falls short", "undecided", "no verdict"]  # of an arm judged
ArmWord = Literal[  # of any arm
    "matches",
    "beats",
    "matches or beats",
    "falls short",
    "undecided",
    "no verdict",
    "screened",
    "reference",
]
