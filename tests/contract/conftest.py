"""Deselects what cannot be: a row on a base that it cannot sit on. At the end, counts methods x invariants."""

import torch

torch.set_num_threads(1)  # tiny matrices: a second thread costs more than it brings


def pytest_collection_modifyitems(config, items):
    """A row names the bases it can sit on; checks without a base of their own use the Llama."""
    impossible = []
    for item in items:
        values = getattr(getattr(item, "callspec", None), "params", {})
        row, tiny = values.get("row"), values.get("tiny")
        if row is not None and hasattr(row, "bases"):
            base = "llama" if tiny is None else tiny.name
            if base not in row.bases:
                impossible.append(item)
            item.user_properties.append(("contract row", row.name))  # reaches the end from xdist's workers too
    if impossible:
        config.hook.pytest_deselected(items=impossible)
        gone = set(map(id, impossible))
        items[:] = [item for item in items if id(item) not in gone]


def summary(passed, failed):
    """Return lines that count rows of the table x invariants (test functions over them), given the reports.

    A row that several invariants check counts once, and so does an invariant that is checked on several bases.
    """

    def checks(reports):
        named = [(dict(report.user_properties).get("contract row"), report.nodeid) for report in reports]
        return [(row, nodeid.split("[")[0]) for row, nodeid in named if row is not None]

    held, broken = checks(passed), checks(failed)
    if not held and not broken:
        return []
    rows, invariants = ({pair[i] for pair in held + broken} for i in (0, 1))
    lines = [f"{len(rows)} methods x {len(invariants)} invariants, {len(held)} checks passed, {len(broken)} failed"]
    return lines + [f"failed: {row}: {invariant.rpartition('::')[2]}" for row, invariant in sorted(set(broken))]


def pytest_terminal_summary(terminalreporter):
    """Print it."""
    called = {
        outcome: [r for r in terminalreporter.stats.get(outcome, ()) if getattr(r, "when", "") == "call"]
        for outcome in ("passed", "failed")
    }
    for line in summary(**called):
        terminalreporter.write_line(line)
