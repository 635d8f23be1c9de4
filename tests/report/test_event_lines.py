"""What an event did, in one line for every page."""

from rankwise.report.event_lines import event_line, number

FIRED = {
    "event": "orthogonalize",
    "step": 4,
    "modules": 14,
    "text": "Orthogonalized 14 modules",
    "probe_loss_before": 1.25,
    "probe_loss_after": 1.25,
    "probe_dtype": "float32",
    "bf16_probe_loss_after": 1.253,
    "relative_change": 3e-8,
    "coherence_before": {"max": 0.41, "mean": 0.12},
    "coherence_after": {"max": 0.0, "mean": 0.0},
}


def test_everything_measured_is_said():
    assert event_line(FIRED) == (
        "Orthogonalized 14 modules; loss 1.250000 -> 1.250000 (float32), +0.003 more with factors in bfloat16; "
        "|d(BA)|/|BA| 3e-08; max |cos| 0.410 -> 0; mean |cos| 0.120 -> 0"
    )
    older = {key: value for key, value in FIRED.items() if key != "probe_dtype"}
    assert "-> 1.250000, " in event_line(older)


def test_what_is_not_finite_or_absent_is_missing():
    diverging = {**FIRED, "probe_loss_before": None, "bf16_probe_loss_after": None, "relative_change": None}
    assert "loss – -> 1.250000 (float32); |d(BA)|/|BA| –; max" in event_line(diverging)
    assert event_line({"event": "x", "step": 1, "text": "Plateau 1"}) == "Plateau 1"


def test_an_event_that_a_threshold_skipped_is_said():
    skipped = {"event": "orthogonalize", "step": 2, "modules": 0, "threshold": 0.3, "coherence_before": {"mean": 0.12}}
    assert event_line(skipped) == "skipped, mean |cos| 0.120 <= threshold 0.3"


def test_other_events_speak_by_what_they_record():
    merged = {"event": "merge-and-restart", "step": 4, "moment": "at_interval", "merged": 14, "update_norm_before": 1.0}
    assert event_line(merged | {"update_norm_after": 1.0}) == "merge-and-restart: merged 14; norm 1"
    assert event_line({"event": "drop", "step": 4, "moment": "before_window", "kept": 3}) is None, "one at every step"
    assert event_line({**FIRED, "text": "", "kind": "measure", "update_norm_before": 1.0}) is None


def test_numbers():
    assert [number(x) for x in (None, 0.0, 1e-5, 0.25)] == ["–", "0", "1e-05", "0.250"]
