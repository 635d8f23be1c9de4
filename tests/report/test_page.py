"""The page: the numbers are in it, data cannot act in it, nothing is fetched, same document, same bytes."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rankwise.report import sections, view, write_report
from rankwise.report.page import render_page
from rankwise.report.svg import FONTS

from .conftest import KINDS, Page
from .fixtures import comparisons, documents


def test_the_numbers_are_in_the_page(written: Any) -> None:
    text = " ".join(written["quick"][2].text.split())
    for expected in (
        "LoRA r=16 matches full fine-tuning within 5% of its gain",
        "Cheapest arm that matches, by executed FLOPs.",
        "98.6%", "96.5 to 100.8%", "0.928", "0.930", "+0.013", "−0.008 to +0.035", "0.921",
        "3e-3", "4,884,480", "3.6%", "67%", "31%", "19.5 MB",
        "α 32 · α/r 2 · scale 2", "W = W0 + (32/16) (B A - B0 A0)",
        "cut the test NLL by 52%, from 1.907 to 0.914",
        "about 6 more seeds or 210 more test examples.", "widening by 0.011 nats", "do not extrapolate",
        "edge of grid", "3,012 target tokens", "Tiếng Việt", "18 min 20 s", "2.13.0", "commit unknown",
        "@article{hu2021lora", "rankwise train --method lora --rank 16 --alpha 32 --placement all-linear --lr 3e-3",
        "empirical lower bound",
    ):  # fmt: skip
        assert expected in text, expected


def test_the_order_is_the_readers(written: Any) -> None:
    ids = [
        attrs["id"] for tag, attrs in written["gone_wrong"][2].tags if tag in ("section", "figure") and attrs.get("id")
    ]
    assert ids == [
        "arms", "costs", "figures", "steps", "placement", "learning-rates", "recovery", "pareto",
        "traps", "setup", "faults", "provenance", "citations", "next",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_fetched_and_nothing_runs(written: Any, kind: str) -> None:
    folder, html, page = written[kind]
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "img", "object", "embed", "video", "use")]
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
        for name in ("src", "href", "xlink:href", "action", "data"):
            target = attrs.get(name)
            if target is None or target.startswith("#") or target == "data:,":
                continue
            assert tag == "a", (tag, target)
            assert target.startswith("https://arxiv.org/abs/") or (folder / target).is_file(), target
    assert "default-src 'none'" in html
    assert not re.search(r"@import|url\((?!#)", html)
    assert len(html.encode()) < 1_000_000


def test_text_from_data_is_escaped(written: Any) -> None:
    _, html, page = written["hostile"]
    assert "<script" not in html.lower()
    assert page.text.count("<script>alert(1)</script>") > 10  # shown as text, in every place it can come in
    assert "\x1b" not in html
    assert 'href="javascript' not in html


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_valid_png_at_twice_the_size(written: Any, kind: str) -> None:
    folder, html, page = written[kind]
    expected = {
        "quick": {"steps", "placement", "learning-rates", "recovery", "pareto"},
        "no_verdict": {"steps", "learning-rates"},
        "hostile": {"steps", "learning-rates"},
        "screened": {"steps", "learning-rates", "pareto"},
        "all_diverged": {"learning-rates"},
    }.get(kind, {"steps", "placement", "learning-rates", "recovery", "pareto"})
    found = {path.stem: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert set(found) == expected
    assert {attrs["id"] for tag, attrs in page.tags if tag == "figure"} == expected
    for name, blob in found.items():
        assert blob.startswith(b"\x89PNG\r\n\x1a\n")
        assert blob.endswith(b"IEND\xaeB`\x82")
        width, _ = struct.unpack(">II", blob[16:24])
        natural = re.search(rf'id="{name}">.*?<svg[^>]*? width="(\d+)"', html, re.DOTALL)
        assert natural is not None
        assert width == 2 * int(natural[1])


def test_ids_are_unique_and_references_resolve(written: Any) -> None:
    _, html, page = written["quick"]
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)
    assert {attrs["href"][1:] for tag, attrs in page.tags if tag == "a" and attrs["href"].startswith("#")} <= set(ids)


def test_the_same_document_gives_the_same_bytes(written: Any, tmp_path: Path) -> None:
    first = written["no_verdict"][0] / "report.html"
    # Another process, because Vega keeps counters for as long as a process lives; and another machine's fonts.
    fonts = tmp_path / "home" / ".local" / "share" / "fonts"
    fonts.mkdir(parents=True)
    (fonts / "impostor.ttf").write_bytes(bold_as("Liberation Sans"))
    page = tmp_path / "page"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from fixtures import documents; from rankwise.report import write_report\n"
        "for document in (documents.all_diverged(), documents.no_verdict()): write_report(document, Path(sys.argv[2]))"
    )
    home = {**os.environ, "HOME": str(fonts.parents[2]), "XDG_DATA_HOME": str(fonts.parent)}
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(page)], check=True, env=home)
    assert (page / "report.html").read_bytes() == first.read_bytes()
    for png in sorted((first.parent / "figures").iterdir()):
        assert (page / "figures" / png.name).read_bytes() == png.read_bytes()


def bold_as(name: str) -> bytes:
    """Our bold font under another name of the same length, as its regular weight."""
    font = (FONTS / "RankwiseFigure-Bold.ttf").read_bytes()
    ours = "Rankwise Figure".encode("utf-16-be")
    assert ours in font
    font = font.replace(ours, name.encode("utf-16-be"))
    at = int.from_bytes(font[font.index(b"OS/2") + 8 :][:4])  # tag, checksum, offset; the weight is at 4 in the table
    return font[: at + 4] + (400).to_bytes(2) + font[at + 6 :]


def test_the_font_has_every_character_of_our_own_words_and_of_vietnamese() -> None:
    """What it lacks comes from the machine."""
    said = "".join(path.read_text(encoding="utf-8") for path in (FONTS.parent / "figures").glob("*.py"))
    wanted = {*said, *"ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ", *"ĂÂĐÊÔƠƯẠẢẤẦẨẪẬ"} - {"\n"}
    for file in sorted(FONTS.glob("*.ttf")):
        assert not wanted - characters(file.read_bytes()), file.name


def characters(font: bytes) -> set[str]:
    """The characters of a font's cmap, format 4 (characters up to U+FFFF)."""

    def number(at: int, size: int = 2) -> int:
        return int.from_bytes(font[at : at + size])

    cmap = number(font.index(b"cmap") + 8, 4)
    tables = [cmap + number(cmap + 4 + 8 * k + 4, 4) for k in range(number(cmap + 2))]
    at = next(table for table in tables if number(table) == 4)
    count = number(at + 6) // 2
    ends, starts = at + 14, at + 16 + 2 * count
    return {chr(code) for k in range(count) for code in range(number(starts + 2 * k), number(ends + 2 * k) + 1)}


def test_a_figure_without_data_leaves_no_old_png(written: Any, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "recovery.png").write_bytes(b"from an earlier report")
    write_report(documents.all_diverged(), tmp_path)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["learning-rates.png"]


def test_empty_states_say_what_happened(written: Any) -> None:
    said = {kind: " ".join(written[kind][2].text.split()) for kind in KINDS}
    for kind in ("no_verdict", "screened", "all_diverged", "gone_wrong"):
        assert "No recommendation" in said[kind]
    assert "Full fine-tuning did not improve; no verdict." in said["no_verdict"]
    assert "no run finished" in said["all_diverged"]
    assert "loss is not finite at step 5" in said["all_diverged"]
    assert "killed: out of memory at step 8" in said["gone_wrong"]
    assert "Faults" not in said["quick"]
    assert "Cautions" not in said["screened"]


def test_the_adapter_is_mentioned_when_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "axolotl.yaml").write_text("a configuration", encoding="utf-8")
    html = write_report(documents.all_diverged(), tmp_path).read_text(encoding="utf-8")
    assert "<code>best/</code>" in html
    assert "<code>recipes/</code>: <code>axolotl.yaml</code> (Axolotl).</p>" in html


def test_recipes_are_named_under_the_recommendation(tmp_path: Path) -> None:
    for _, name in sections.RECIPES[:4]:
        (tmp_path / name).write_text("a configuration", encoding="utf-8")
    found = sections.recipe_files(tmp_path)
    html = render_page(documents.quick(), [], adapter_saved=True, recipes=found)
    card = re.search(r'<section class="card answer.*?</section>', html, re.DOTALL)
    assert card is not None
    assert "To train it in another tool, paste from recipes/: train_trl.py (TRL)" in words(card[0])
    assert "train_unsloth.py (Unsloth)." in words(card[0])
    assert "llama_factory.yaml" not in html  # not written, so not promised
    assert "recipes/" not in render_page(documents.quick(), [])


def test_recipes_are_written_under_the_names_the_page_knows() -> None:
    from rankwise.studies.recipes.write import TOOLS

    assert [name for _, name in sections.RECIPES] == list(TOOLS)


def test_the_reference_may_be_an_adapter() -> None:
    document = comparisons.best_rank()
    text = words(render_page(document, []))
    for expected in (
        "Recommended: LoRA r=16",
        "Beside LoRA r=64, LoRA r=16 takes:",
        "Full fine-tuning was not trained here; LoRA r=64 stands in for it. A match is a match with LoRA r=64.",
        "LoRA r=64 cut the test NLL by 52%, from 1.907 to 0.913",
        "Shares are of LoRA r=64.",
    ):
        assert expected in text, expected
    assert text.lower().count("full fine-tuning") == 2  # there, and in the question of the preset
    assert "stands in" not in render_page(documents.quick(), [])


def test_a_label_keeps_its_spelling_at_the_start_of_a_sentence() -> None:
    document = comparisons.best_rank()
    document["results"]["arms"][0] |= {"label": "rsLoRA r=64"}
    assert sections.gain(document).startswith("rsLoRA r=64 cut the test NLL")
    assert sections.gain(documents.quick()).startswith("Full fine-tuning cut the test NLL")


def test_batch_sizes_are_said_where_arms_differ_in_nothing_else() -> None:
    document = comparisons.batch_sizes()
    text = words(render_page(document, []))
    assert "24 steps of batch 4, 8 or 16, constant learning rate" in text
    assert "Full fine-tuning, batch 8" in text
    assert "LoRA r=16, batch 16" in text
    assert "batch 16, batch 16" not in text
    assert ", batch" not in words(render_page(documents.quick(), []))


def test_a_verdict_between_batch_sizes_admits_unequal_data() -> None:
    document = comparisons.batch_sizes()
    judged, usual = document["results"]["arms"][5], document["results"]["arms"][3]
    documents._fresh(judged, (0.903, 0.905, 0.904))
    documents._fresh(usual, (0.921, 0.925, 0.924))
    warned = {arm.label: arm.warning for arm in view.arm_views(document) if arm.warning}
    assert list(warned) == ["LoRA r=16, batch 16"]
    assert warned["LoRA r=16, batch 16"].startswith(
        "At batch 16 it saw 2 times the examples of the reference (batch 8)"
    )


def words(html: str) -> str:
    """Visible text, blanks collapsed, no blank before punctuation."""
    return re.sub(r" ([.,:;)])|(\() ", r"\1\2", " ".join(Page(html).text.split()))


def test_importing_the_report_is_cheap() -> None:
    code = (
        "import sys, rankwise.report\n"
        "print([name for name in ('altair', 'vl_convert', 'jinja2', 'rich', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
