"""What the repository says of itself: one version, workflows of the Makefile's own verbs, published from a tag only."""

import re
import tomllib
from pathlib import Path

import yaml

import rankwise
from rankwise.cli.main import main
from rankwise.studies.results.provenance import provenance

ROOT = Path(__file__).parents[1]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def workflows():
    """Name -> document; YAML reads the key ``on`` as True."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").iterdir()}


def commands(document):
    """What the steps of a workflow type, and where."""
    for name, job in document["jobs"].items():
        yield from ((name, step["run"]) for step in job["steps"] if "run" in step)


def verbs(text):
    return re.findall(r"\bmake ([a-z-]+)", text)


def test_the_version_is_written_once(capsys):
    version = rankwise.__version__
    settings = tomllib.loads(read("pyproject.toml"))
    assert "version" not in settings["project"]
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["hatch"]["version"] == {"path": "src/rankwise/__init__.py"}
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rankwise {version}\n"
    assert provenance("")["rankwise"] == version
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version, "a release sets it in both"
    assert f"\n## [{version}]" in read("CHANGELOG.md")


def test_workflows_and_hooks_call_verbs_that_exist():
    ours = set(re.findall(r"^([a-z-]+):.*##", read("Makefile"), re.MULTILINE))
    hooks = [
        hook["entry"] for repo in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]
    ]
    called = {name: [text for _, text in commands(flow)] for name, flow in workflows().items()} | {"pre-commit": hooks}
    wrong = [
        f"{name}: make {verb}"
        for name, texts in called.items()
        for text in texts
        for verb in verbs(text)
        if verb not in ours
    ]
    assert not wrong, "\n".join(wrong)
    assert all(verbs(" ".join(texts)) for texts in called.values())


def test_pushes_are_held_to_what_ci_runs():
    assert verbs(" ".join(text for _, text in commands(workflows()["checks"]))) == verbs(read(".ci/run"))


def test_only_a_tag_is_published_and_no_token_is_kept():
    publishing = {
        (name, job): what
        for name, flow in workflows().items()
        for job, what in flow["jobs"].items()
        if "pypi-publish" in str(what) or "id-token" in str(what)
    }
    assert list(publishing) == [("release", "publish")]
    assert publishing["release", "publish"]["if"] == "github.event_name == 'push' && github.ref_type == 'tag'"
    assert workflows()["release"][True]["push"] == {"tags": ["v*"]}
    for flow in workflows().values():
        assert flow["permissions"] == {"contents": "read"}
        assert "secrets." not in str(flow)


def test_forms_ask_for_something():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.stem != "config":
            assert form["name"], path
            assert form["description"], path
            assert any(part.get("validations", {}).get("required") for part in form["body"]), path
