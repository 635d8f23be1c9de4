"""Deselects what cannot be: a row on a base that it cannot sit on."""

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
    if impossible:
        config.hook.pytest_deselected(items=impossible)
        gone = set(map(id, impossible))
        items[:] = [item for item in items if id(item) not in gone]
