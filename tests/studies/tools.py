"""For tests of whole studies."""

from dataclasses import replace

from rankwise.execution.progress import Progress
from rankwise.studies.running.deciding import Deciding


class Book:
    """A record of looks that forgets: for outcomes that no study made."""

    def __init__(self, told=(), families=()):
        self.told, self.known, self.kept, self.ends = dict(told), list(families), [], set()
        self.furthest = self.elsewhere = 0

    def families(self, finalists):
        new = tuple(name for name in finalists if all(name not in family for family in self.known))
        return [*self.known, new] if new else self.known

    def words(self, family, seeds):
        return self.told.get(len(seeds), {})

    def keep(self, family, seeds, horizon, taken):
        self.kept.append((family, len(seeds), taken.words))

    def stopped(self, seeds, seconds):
        return (seeds, seconds) in self.ends

    def stop(self, seeds, seconds):
        self.ends.add((seeds, seconds))


def looked(config, outcome):
    """The outcome, with one look at all of its fresh runs."""
    deciding = Deciding(config, outcome.arms, outcome.finalists, outcome.base_test, Book())
    deciding.look(len(config.fresh_seeds), deciding.finalists)
    return replace(outcome, decisions=deciding.found)


class Recorder(Progress):
    """Keeps what a study tells."""

    def __init__(self):
        self.notes, self.runs = [], []

    def note(self, text):
        self.notes.append(text)

    def done(self, label, status, nll, seconds):
        self.runs.append(label)
