"""For tests of whole studies."""

from rankwise.execution.progress import Progress


class Recorder(Progress):
    """Keeps what a study tells."""

    def __init__(self):
        self.notes, self.runs = [], []

    def note(self, text):
        self.notes.append(text)

    def done(self, label, status, nll, seconds):
        self.runs.append(label)
