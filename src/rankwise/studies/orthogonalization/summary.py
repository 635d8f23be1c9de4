"""What the events did, arm by arm, and the answer to the note in plain words, English and Vietnamese."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rankwise.studies.orthogonalization.config import ARMS, KEEPS, EventStudy
from rankwise.studies.results.schema import EventArm, EventRun

NONE = 1e-4  # nats: below it an event is said not to jump


def jumps(run: EventRun) -> list[float]:
    """Loss after minus loss before of every event of a run, nats per token, on the same examples."""
    pairs = [(e["probe_loss_before"], e["probe_loss_after"]) for e in _fired(run)]
    return [after - before for before, after in pairs if before is not None and after is not None]


def rounded(run: EventRun) -> list[float]:
    """What casting the factors to bfloat16 does to the loss after every event, nats per token."""
    pairs = [(e["probe_loss_after"], e["bf16_probe_loss_after"]) for e in _fired(run)]
    return [cast - plain for plain, cast in pairs if plain is not None and cast is not None]


def _fired(run: EventRun) -> list[dict[str, Any]]:
    return [event for event in run["events"] if event["event"] == "orthogonalize" and event["modules"]]


def summarize(config: EventStudy, rows: list[EventRun]) -> list[EventArm]:
    """Return one entry per arm and duplication, and one per arm over all of them (``duplication`` None)."""
    found = []
    for arm in config.arms:
        own = [row for row in rows if row["arm"] == arm]
        parts = [(times, [row for row in own if row["duplication"] == times]) for times in config.duplications]
        found += [_entry(arm, times, some) for times, some in [(None, own), *parts] if some]
    return found


def _entry(arm: str, times: int | None, rows: list[EventRun]) -> EventArm:
    done = [row for row in rows if row["status"] == "done"]
    events = [event for row in rows for event in _fired(row)]
    moved = [jump for row in rows for jump in jumps(row)]
    cast = [abs(value) for row in rows for value in rounded(row)]

    def seen(name: str, inner: str | None = None) -> list[float]:
        values = [event[name] if inner is None else event[name][inner] for event in events]
        return [value for value in values if value is not None]  # None: not finite, a run about to diverge

    return {
        "arm": arm,
        "label": ARMS[arm][0],
        "duplication": times,
        "runs": len(rows),
        "diverged": len(rows) - len(done),
        "events": len(events),
        "keeps": arm in KEEPS,
        "jump": _mean(moved),
        "largest_jump": max(map(abs, moved), default=None),
        "bf16": _mean(cast),
        "relative_change": _mean(seen("relative_change")),
        "coherence_before": _mean(seen("coherence_before", "max")),
        "coherence_mean_after": _mean(seen("coherence_after", "max")),
        "coherence_after": max(seen("coherence_after", "max"), default=None),
        "cosines_moved": max(seen("cosines_moved"), default=None),
        "remembered": _mean([row["remembered"] for row in done if row["remembered"] is not None]),
        "held_out": _mean([row["held_out"] for row in done if row["held_out"] is not None]),
    }


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def answers(config: EventStudy, arms: list[EventArm], model: str) -> dict[str, list[str]]:
    """Return the answer as sentences, by language; only what these runs show is claimed."""
    whole = {entry["arm"]: entry for entry in arms if entry["duplication"] is None}
    return {"en": _english(config, whole, model), "vi": _vietnamese(config, whole, model)}


def quiet(whole: dict[str, EventArm]) -> list[str]:
    """Arms whose event never moved the loss by more than :data:`NONE`, and after which the rows were orthogonal."""
    return [
        name
        for name, entry in whole.items()
        if name in KEEPS
        and entry["largest_jump"] is not None
        and entry["largest_jump"] < NONE
        and entry["coherence_after"] is not None
        and entry["coherence_after"] < NONE
        and name not in ("none", "penalty")
    ]


def _measured(whole: dict[str, EventArm], arm: str) -> bool:
    """Whether the arm ran, and its events left finite factors to measure."""
    return arm in whole and None not in (whole[arm]["cosines_moved"], whole[arm]["coherence_after"])


def _signed(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:+.3f}" if abs(value) >= 0.0005 else f"{value:+.0e}" if value else "0"


def _size(value: float | None) -> str:
    return "?" if value is None else f"{value:.0%}" if value >= 0.005 else f"{value:.0e}"


def _english(config: EventStudy, whole: dict[str, EventArm], model: str) -> list[str]:
    said = []
    if "qr" in whole:
        qr = whole["qr"]
        said.append(
            f"Why it jumps: QR keeps Q and throws R away, on A and on B, so B A is no longer what was learned. Here B "
            f"A changed by {_size(qr['relative_change'])} of its norm at an event, and the loss on the very same "
            f"examples by {_signed(qr['jump'])} nats per token on average."
        )
    if _measured(whole, "row-norm"):
        cure = whole["row-norm"]
        said.append(
            "Why row normalization alone does not orthogonalize: it changes lengths, and angles do not depend on "
            f"lengths. The cosines between rows of A moved by at most {cure['cosines_moved']:.0e}; they reached "
            f"{cure['coherence_after']:.2f} right after it. Normalizing the small columns of B is in effect a large "
            f"optimizer step: the loss moved by {_signed(cure['jump'])} nats."
        )
    if calm := quiet(whole):
        names = ", ".join(f"{whole[n]['label']} ({whole[n]['largest_jump']:.0e})" for n in calm)
        said.append(
            "Which event has no jump: folding what is taken from A into B leaves B A as it was, (M A, B M^-1) for any "
            f"invertible M. Orthogonal rows without a jump, with the largest change of the loss in nats: {names}."
        )
    said.append(
        "About the note: its log is of a run with the L2 cure and holds no QR event, so it cannot itself show the "
        "jump; the numbers above can. Its “CLoRA Loss: 0.2400” is what that formula gives for orthonormal A and B = 0, "
        "three adapters of rank 8: a constant that says nothing about the training."
    )
    said.append(_size_en(config, model))
    return said


def _size_en(config: EventStudy, model: str) -> str:
    seeds = "one seed" if len(config.seeds) == 1 else f"{len(config.seeds)} seeds"
    return (
        f"Size of the evidence: {model}, {config.steps} steps of {config.batch} examples, an event every "
        f"{' or '.join(map(str, config.every))} steps, training examples repeated "
        f"{', '.join(f'x{n}' for n in config.duplications)}, {seeds}. Jumps are exact measurements; differences of the "
        "final losses between arms are within the noise of so few runs unless they are large."
    )


def _vietnamese(config: EventStudy, whole: dict[str, EventArm], model: str) -> list[str]:
    said = []
    if "qr" in whole:
        qr = whole["qr"]
        said.append(
            "Vì sao loss nhảy vọt: QR giữ Q và bỏ R đi, ở cả A lẫn B, nên tích B A không còn là điều mô hình vừa học. "
            f"Ở đây mỗi lần như vậy B A thay đổi {_size(qr['relative_change'])} so với chuẩn của nó, và loss trên đúng "
            f"những mẫu đó thay đổi trung bình {_signed(qr['jump'])} nat mỗi token."
        )
    if _measured(whole, "row-norm"):
        cure = whole["row-norm"]
        said.append(
            "Vì sao chỉ chuẩn hóa L2 theo hàng thì không làm các hàng trực giao: nó đổi độ dài, còn góc không phụ "
            f"thuộc vào độ dài. Cosine giữa các hàng của A chỉ đổi nhiều nhất {cure['cosines_moved']:.0e}; ngay sau đó "
            f"giá trị lớn nhất vẫn là {cure['coherence_after']:.2f}. Chuẩn hóa các cột rất nhỏ của B thực chất là một "
            f"bước tối ưu lớn bị ẩn đi: loss thay đổi {_signed(cure['jump'])} nat."
        )
    if calm := quiet(whole):
        names = ", ".join(f"{whole[n]['label']} ({whole[n]['largest_jump']:.0e})" for n in calm)
        said.append(
            "Cách nào không gây nhảy loss: phần lấy ra khỏi A được nhân bù vào B, (M A, B M^-1) với mọi M khả nghịch, "
            f"nên B A giữ nguyên. Các hàng trực giao mà loss không nhảy (thay đổi lớn nhất, tính bằng nat): {names}."
        )
    said.append(
        "Về ghi chú: log trong đó là của lần chạy đã dùng L2 và không có lần QR nào, nên tự nó không cho thấy cú nhảy; "
        "các con số trên thì có. “CLoRA Loss: 0.2400” đúng bằng giá trị của công thức khi A trực chuẩn và B = 0, với "
        "ba adapter hạng 8: một hằng số, không nói gì về quá trình huấn luyện."
    )
    said.append(
        f"Quy mô bằng chứng: {model}, {config.steps} bước, mỗi bước {config.batch} mẫu, sự kiện sau mỗi "
        f"{' hoặc '.join(map(str, config.every))} bước, mẫu huấn luyện lặp lại "
        f"{', '.join(f'x{n}' for n in config.duplications)}, {len(config.seeds)} seed. Cú nhảy được đo chính xác; khác "
        "biệt nhỏ về loss cuối cùng giữa các cách nằm trong nhiễu của ít lần chạy như vậy."
    )
    return said
