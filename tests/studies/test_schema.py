"""The schema of results.json: every key says what it means, and words of a verdict are compared as keys."""

import ast

from docs.results_page import SECTIONS, entries, results_page

from rankwise.stats import verdict_words
from rankwise.studies.results import schema
from tests.test_architecture import FILES, inside, nodes_of

MODULES = [module for modules in SECTIONS.values() for module in modules]
KEYS = {
    getattr(verdict_words, name)
    for name in ("MATCHES", "BEATS", "KEEPS", "FALLS_SHORT", "UNDECIDED", "NO_VERDICT", "SCREENED")
}


def test_every_key_says_what_it_means_in_one_line():
    silent = [
        f"{module}.py: {entry.name}.{key.name}"
        for module in MODULES
        for entry in entries(module)
        for key in entry.keys
        if not key.meaning
    ]
    assert not silent, "a key of the schema has its meaning behind it, as a comment: " + ", ".join(silent)


def test_the_page_has_every_key_of_every_object():
    page = results_page()
    described = {entry.name: entry for module in MODULES for entry in entries(module)}
    dicts = {name: own for name, own in vars(schema).items() if hasattr(own, "__required_keys__")}
    assert dicts.keys() == described.keys()
    for name, own in dicts.items():
        entry, keys = described[name], set()
        while True:  # its own keys and those of what it extends
            keys |= {key.name for key in entry.keys}
            if not entry.base:
                break
            entry = described[entry.base]
        assert keys == set(own.__annotations__), name
        assert f"### {name}\n" in page


def test_links_inside_the_page_lead_to_an_object():
    page = results_page()
    headings = {line.removeprefix("### ").lower() for line in page.splitlines() if line.startswith("### ")}
    targets = {part.partition(")")[0] for part in page.split("](#")[1:]}
    assert targets <= headings


def test_no_code_spells_the_word_of_a_verdict():
    """Prose is in report/wording.py; analyses have words of their own, of which one is spelled alike."""
    allowed = {"stats/verdict_words.py", "report/wording.py"}
    wrong = []
    for path in FILES:
        own = {verdict_words.UNDECIDED} if inside(path).startswith("analysis/") else set()
        own |= (
            {verdict_words.MATCHES, verdict_words.BEATS} if inside(path) == "stats/verdict.py" else set()
        )  # its sentence says so
        if inside(path) not in allowed:
            spelled = [n for n in nodes_of(path) if isinstance(n, ast.Constant) and n.value in KEYS - own]
            wrong += [f"{inside(path)}:{node.lineno}: {node.value!r}" for node in spelled]
    assert not wrong, "compare rankwise.stats.verdict_words: " + ", ".join(wrong)
