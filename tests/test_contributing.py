"""CONTRIBUTING's preset and analysis, run as they stand there; its init is tests/contract/test_contributing.py."""

import importlib.util
import re
import sys
from pathlib import Path

from rankwise import analysis
from rankwise.analysis.request import Request
from rankwise.execution.progress import Progress
from rankwise.studies.presets import resolve

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(title):
    """The Python of one section."""
    section = TEXT.partition(f"## {title}")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_the_preset(monkeypatch):
    (code,) = blocks("Adding a preset")
    monkeypatch.setattr(resolve, "PRESETS", dict(resolve.PRESETS))
    exec(compile(code, "CONTRIBUTING.md", "exec"), resolve.__dict__)
    config = resolve.resolve_study("alpha", "smoke")
    assert [arm.label for arm in config.arms] == [
        "Full fine-tuning",
        "LoRA alpha 8",
        "LoRA alpha 32",
        "LoRA alpha 128",
    ]
    assert [arm.target().alpha for arm in config.arms[1:]] == [8, 32, 128]
    assert len({arm.name for arm in config.arms}) == 4
    assert all(config.learning_rates[arm.name] for arm in config.arms)
    del resolve.__dict__["_alphas"]


def test_the_analysis(monkeypatch, tmp_path):
    code, line = blocks("Adding an analysis")
    file = tmp_path / "start_norm.py"
    file.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("rankwise.analysis.start_norm", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(analysis, "ANALYSES", dict(analysis.ANALYSES))
    exec(compile(line, "CONTRIBUTING.md", "exec"), analysis.__dict__)
    finding = analysis.ANALYSES["start-norm"].run(Request(scale="smoke"), Progress())
    assert (finding.word, finding.numbers) == ("holds here", {"largest": 0.0})
    assert module.judge(1.0) == "does not hold here"
