"""XCOPA's form: a premise, two sentences, and which of them is its cause or effect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rankwise.data.examples import Example
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.text import text_of
from rankwise.data.styles import question_example
from rankwise.data.unicode import composed
from rankwise.errors import UsageError, unknown

# Letters that Vietnamese has and its neighbors in XCOPA have not.
VIETNAMESE = re.compile("[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)
QUESTIONS = {
    "en": {"cause": "Which sentence is the cause?", "effect": "Which sentence is the effect?"},
    "vi": {"cause": "Câu nào là nguyên nhân?", "effect": "Câu nào là kết quả?"},
}


def build(row: Mapping[str, Any], where: str, reading: Reading) -> Example:
    """Ask in Vietnamese when the row is Vietnamese, else in English; the answer is the right sentence in full."""
    premise, first, second = (text_of(row[key], key, where).strip() for key in ("premise", "choice1", "choice2"))
    kind = text_of(row["question"], "question", where)
    language = "vi" if VIETNAMESE.search(composed(premise + first + second)) else "en"
    if kind not in QUESTIONS[language]:
        raise unknown("question", kind, QUESTIONS[language], hint=where)
    label = text_of(row["label"], "label", where)
    if label not in ("0", "1"):
        raise UsageError(f"{where}: 'label' must be 0 (choice1) or 1 (choice2), found {label}")
    asked = f"{premise}\n{QUESTIONS[language][kind]}\n- {first}\n- {second}"
    return question_example(asked, second if label == "1" else first)
