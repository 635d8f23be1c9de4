"""Numbers as people write them. Every function returns plain text; nothing here is escaped or colored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rankwise.stats.verdict_words import (
    BEATS,
    FALLS_SHORT,
    KEEPS,
    MATCHES,
    NO_VERDICT,
    REFERENCE,
    SCREENED,
    UNDECIDED,
    ArmWord,
)

MISSING = "–"
# What people read for a verdict's word, on badges and in tables. Sentences are the verdict's own (stats/verdict.py).
VERDICTS: dict[ArmWord, str] = {
    MATCHES: "matches",
    BEATS: "beats",
    KEEPS: "matches or beats",
    FALLS_SHORT: "falls short",
    UNDECIDED: "undecided",
    NO_VERDICT: "no verdict",
    SCREENED: "screened",
    REFERENCE: "reference",
}


def finite(value: Any) -> bool:
    """Whether ``value`` is a number that can be drawn or printed (JSON's null, NaN and infinities are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def nll(value: float | None) -> str:
    """Negative log-likelihood in nats per target token: three decimals."""
    return f"{value:.3f}" if value is not None and finite(value) else MISSING


def learning_rate(value: float | None) -> str:
    """A learning rate the way the field writes it.

    >>> learning_rate(0.003), learning_rate(0.00015), learning_rate(1)
    ('3e-3', '1.5e-4', '1e0')
    """
    if value is None or not finite(value):
        return MISSING
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def percent(ratio: float | None) -> str:
    """A ratio as a percentage with three significant digits at most, never rounded down to a bare zero.

    >>> percent(0.672), percent(0.0312), percent(0.00004), percent(1.0)
    ('67%', '3.1%', '0.004%', '100%')
    """
    if ratio is None or not finite(ratio):
        return MISSING
    size = abs(ratio) * 100
    if size == 0 or size >= 9.95:
        return f"{ratio * 100:.0f}%"
    return f"{ratio * 100:.2g}%"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return f"{value:,.0f}" if value is not None and finite(value) else MISSING


def short_count(value: float | None) -> str:
    """A parameter count in at most six characters.

    >>> short_count(4_884_480), short_count(960), short_count(134_515_008)
    ('4.88M', '960', '135M')
    """
    return _scaled(value, 1000.0, ("", "k", "M", "B", "T"), joined="")


def size(value: float | None) -> str:
    """Bytes in decimal units, as disks and model hubs count them.

    >>> size(19_537_920), size(1_200_000_000)
    ('19.5 MB', '1.2 GB')
    """
    return _scaled(value, 1000.0, ("B", "kB", "MB", "GB", "TB"), joined=" ")


def operations(value: float | None) -> str:
    """A number of floating-point operations.

    >>> operations(20_300_000), operations(4.2e13)
    ('20.3 MFLOP', '42 TFLOP')
    """
    units = ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP")
    return _scaled(value, 1000.0, units, joined=" ")


def duration(seconds: float | None) -> str:
    """A wall-clock duration.

    >>> duration(42.0), duration(1100.0), duration(7320.0)
    ('42 s', '18 min 20 s', '2 h 2 min')
    """
    if seconds is None or not finite(seconds):
        return MISSING
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def seconds(value: float | None) -> str:
    """The seconds of one step, two digits."""
    return f"{value:.2g} s" if value is not None and finite(value) else MISSING


def plain(value: float | None) -> str:
    """A small setting such as alpha: no trailing zeros."""
    return f"{value:.4g}" if value is not None and finite(value) else MISSING


def recovery(interval: Mapping[str, Any] | None) -> str:
    """The estimate of a recovery, in percent with one decimal (verdicts turn on a few percent)."""
    return f"{interval['estimate'] * 100:.1f}%" if interval and finite(interval.get("estimate")) else MISSING


def recovery_interval(interval: Mapping[str, Any] | None) -> str:
    """The 95% interval of a recovery.

    >>> recovery_interval({"estimate": 0.99, "low": 0.972, "high": 1.0131})
    '97.2 to 101.3%'
    """
    if not interval or not (finite(interval.get("low")) and finite(interval.get("high"))):
        return ""
    return f"{interval['low'] * 100:.1f} to {interval['high'] * 100:.1f}%"


def regret(interval: Mapping[str, Any] | None) -> str:
    """The estimate of a regret in nats, signed so that a minus reads as "better than the reference"."""
    return _signed(interval["estimate"]) if interval and finite(interval.get("estimate")) else MISSING


def regret_interval(interval: Mapping[str, Any] | None) -> str:
    """The 95% interval of a regret in nats; empty without one."""
    if not interval or not (finite(interval.get("low")) and finite(interval.get("high"))):
        return ""
    return f"{_signed(interval['low'])} to {_signed(interval['high'])}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _scaled(value: float | None, base: float, units: tuple[str, ...], *, joined: str) -> str:
    if value is None or not finite(value):
        return MISSING
    amount, index = float(value), 0
    while abs(amount) >= base * 0.9995 and index < len(units) - 1:
        amount, index = amount / base, index + 1
    digits = f"{amount:.0f}" if index == 0 or abs(amount) >= 99.95 else f"{amount:.3g}"
    return f"{digits}{joined}{units[index]}"
