"""What the events did, arm by arm, and the answer to the study's question in words, English and Vietnamese."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rankwise.studies.orthogonalization.config import ARMS, KEEPS, EventStudy
from rankwise.studies.orthogonalization.words import WORDS

NONE = 1e-4  # nats: below it an event is said not to jump


def jumps(run: dict[str, Any]) -> list[float]:
    """Loss after minus loss before of every event of a run, nats per token, on the same examples."""
    pairs = [(e["probe_loss_before"], e["probe_loss_after"]) for e in _fired(run)]
    return [after - before for before, after in pairs if before is not None and after is not None]


def rounded(run: dict[str, Any]) -> list[float]:
    """What casting the factors to bfloat16 does to the loss after every event, nats per token."""
    pairs = [(e["probe_loss_after"], e["bf16_probe_loss_after"]) for e in _fired(run)]
    return [cast - plain for plain, cast in pairs if plain is not None and cast is not None]


def _fired(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in run["events"] if event["event"] == "orthogonalize" and event["modules"]]


def summarize(config: EventStudy, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry per arm and duplication, and one per arm over all of them (``duplication`` None)."""
    found = []
    for arm in config.arms:
        own = [row for row in rows if row["arm"] == arm]
        parts = [(times, [row for row in own if row["duplication"] == times]) for times in config.duplications]
        found += [_entry(arm, times, some) for times, some in [(None, own), *parts] if some]
    return found


def _entry(arm: str, times: int | None, rows: list[dict[str, Any]]) -> dict[str, Any]:
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


def answers(config: EventStudy, arms: list[dict[str, Any]], model: str) -> dict[str, list[str]]:
    """Return the answer as sentences, by language; only what these runs show is claimed."""
    whole = {entry["arm"]: entry for entry in arms if entry["duplication"] is None}
    seeds = len(config.seeds)
    size = {"model": model, "steps": config.steps, "batch": config.batch}
    size["repeated"] = ", ".join(f"x{n}" for n in config.duplications)
    said = {}
    for language, words in WORDS.items():
        every = f" {words['or']} ".join(map(str, config.every))
        runs = words["one seed" if seeds == 1 else "seeds"].format(seeds=seeds)
        said[language] = [words[key].format(**values) for key, values in _shown(whole)]
        said[language].append(words["size"].format(**size, every=every, seeds=runs))
    return said


def _shown(whole: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The sentences of ``words.py`` that these runs bear out, with what goes into them."""
    shown: list[tuple[str, dict[str, Any]]] = []
    if "qr" in whole:
        qr = whole["qr"]
        shown.append(("jump", {"change": _size(qr["relative_change"]), "jump": _signed(qr["jump"])}))
    if _measured(whole, "row-norm"):
        cure = whole["row-norm"]
        moved, reached = cure["cosines_moved"], cure["coherence_after"]
        shown.append(("lengths", {"moved": moved, "reached": reached, "jump": _signed(cure["jump"])}))
    if calm := quiet(whole):
        names = ", ".join(f"{whole[n]['label']} ({whole[n]['largest_jump']:.0e})" for n in calm)
        shown.append(("quiet", {"names": names}))
    return [*shown, ("log", {})]


def quiet(whole: dict[str, dict[str, Any]]) -> list[str]:
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


def _measured(whole: dict[str, dict[str, Any]], arm: str) -> bool:
    """Whether the arm ran, and its events left finite factors to measure."""
    return arm in whole and None not in (whole[arm]["cosines_moved"], whole[arm]["coherence_after"])


def _signed(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:+.3f}" if abs(value) >= 0.0005 else f"{value:+.0e}" if value else "0"


def _size(value: float | None) -> str:
    return "?" if value is None else f"{value:.0%}" if value >= 0.005 else f"{value:.0e}"
