"""Simulate and write docs/studies/sequential.md, sequential.png and sequential.json."""

from pathlib import Path

from docs.sequential.chart import chart
from docs.sequential.grid import REPLICATES, simulate_all
from docs.sequential.page import limit, page
from rankwise.files import write_json, write_text
from rankwise.report.svg import draw, png

HERE = Path(__file__).parents[1]
MEMORY = HERE.parent / "build" / "sequential.json"

if __name__ == "__main__":
    MEMORY.parent.mkdir(exist_ok=True)
    found = simulate_all(MEMORY)
    write_json(HERE / "studies" / "sequential.json", found.as_json())
    (HERE / "studies" / "sequential.png").write_bytes(png(draw(chart(found.cells, limit(REPLICATES)))))
    write_text(HERE / "studies" / "sequential.md", page(found))
    MEMORY.unlink()
