"""A study's folder: where each file is, and when an existing folder may be continued."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, Literal

from rankwise.errors import UsageError
from rankwise.files import write_text
from rankwise.ledger.differences import first_difference
from rankwise.ledger.keys import KEY_LENGTH, canonical
from rankwise.reading import read_mapping

LOCK_NAME = ".lock"
STUDY_NAME = "study.yaml"
_HEADER = "# Written by rankwise: the resolved study in this folder. The same command continues it.\n"


class StudyFolder:
    """The paths of one study. Making this object touches nothing on disk.

    Attributes:
        path: the folder.
        study_file: ``study.yaml``, the resolved configuration.
        ledger_file, report_file, results_file: ``ledger.sqlite``, ``report.html``, ``results.json``.
        figures, best, runs: folders of PNGs, of the best adapter, and of one folder per run.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.study_file = self.path / STUDY_NAME
        self.ledger_file = self.path / "ledger.sqlite"
        self.report_file = self.path / "report.html"
        self.results_file = self.path / "results.json"
        self.figures = self.path / "figures"
        self.best = self.path / "best"
        self.runs = self.path / "runs"

    def run_folder(self, key: str) -> Path:
        """Path of the run ``key`` (16 hex digits, so it never leaves the study). It is not created."""
        if not re.fullmatch(f"[0-9a-f]{{{KEY_LENGTH}}}", key):
            raise ValueError(f"a run key is {KEY_LENGTH} lowercase hex digits, found {key!r}")
        return self.runs / key

    def read_config(self) -> dict[str, Any]:
        """Read ``study.yaml`` safely.

        Raises:
            UsageError: it is missing or is not a mapping in YAML.
        """
        try:
            return read_mapping(self.study_file, what="a mapping of settings", cure="repair it or choose another --out")
        except FileNotFoundError:
            raise UsageError(f"{self.path} holds no {STUDY_NAME}; give the folder of a study") from None

    def open_or_create(
        self,
        config: dict[str, Any],
        growable: Set[str] = frozenset(),
        defaults: Mapping[str, Any] | None = None,
        aside: Set[str] = frozenset(),
    ) -> Literal["created", "resumed", "extended"]:
        """Start the study here, continue it, or extend it. Hold the :class:`StudyLock` meanwhile.

        Args:
            config: the resolved configuration: JSON values, string keys.
            growable: dotted names of lists (``"seeds.fresh"``) that may gain items, anywhere in the list, as
                long as the old items stay in their order; of mappings that may gain entries; and, as
                ``"grids.*"``, every list in a mapping; and of single values that may change.
            defaults: what a setting was in a folder written before it existed.
            aside: keys that decide nothing, wherever they are: no difference in them is one.

        Raises:
            UsageError: the folder is something else than a study, or the study there differs in another way;
                the message names the first differing setting, both values and what to do. Nothing is written.
        """
        refuse_foreign(self.path)
        config = json.loads(canonical(config))  # tuples become lists, as YAML will read them back
        if not self.study_file.exists():
            self._write_config(config)
            return "created"
        known = json.loads(canonical(dict(defaults or {})))
        difference = first_difference({**known, **self.read_config()}, config, growable, aside)
        if difference is None:
            return "resumed"
        if difference.grown:
            self._write_config(config)
            return "extended"
        raise UsageError(
            f"the study in {self.path} has {difference.name} = {difference.old}, this one has "
            f"{difference.new}; repeat the old setting, or choose another --out"
        )

    def replace_config(self, config: dict[str, Any]) -> None:
        """Write another plan of the same study, one that keeps every finished run. Hold the :class:`StudyLock`."""
        self._write_config(json.loads(canonical(config)))

    def clean_temporaries(self) -> list[Path]:
        """Remove the ``.*.tmp`` files and folders that a killed write left, and return what was removed.

        Hold the :class:`StudyLock` meanwhile: a live writer's temporary file looks the same.
        """
        stale = sorted(self.path.rglob(".*.tmp"))
        with writing_to(self.path):
            for path in stale:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        return stale

    def _write_config(self, config: dict[str, Any]) -> None:
        import yaml

        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
        if yaml.safe_load(text) != config:  # PyYAML writes a few characters (U+0085) readably but not exactly
            text = yaml.safe_dump(config, sort_keys=False, width=100)
        with writing_to(self.path):
            write_text(self.study_file, _HEADER + text)


def refuse_foreign(path: Path) -> None:
    """Refuse a path that holds something else than a study, so that no other folder fills with our files.

    Raises:
        UsageError: ``path`` is a file, cannot be read, or is a folder with content but no ``study.yaml``.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(f"{path} is a file, and a study is a folder; choose another --out")
    try:
        names = sorted(child.name for child in path.iterdir())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; choose another --out") from None
    # The lock and the remains of a killed first write are ours.
    foreign = [name for name in names if name != LOCK_NAME and not re.fullmatch(r"\..*\.tmp", name)]
    if foreign and STUDY_NAME not in foreign:
        raise UsageError(
            f"{path} is not empty and is not a study (it holds {foreign[0]} and no {STUDY_NAME}); choose another --out"
        )


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn a failed write in ``folder`` (read-only, full disk) into one sentence."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write in {folder}: {error.strerror or error}; free the space or choose another --out"
        ) from error
