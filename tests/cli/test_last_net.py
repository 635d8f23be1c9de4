"""What no reader foresaw ends in one sentence that says whose mistake it is; text of any kind can be printed."""

import io
import json
import sys

import pytest

from rankwise.cli import main as entry
from rankwise.cli.main import main


def test_a_mistake_of_ours_says_so_and_shows_itself_on_request(monkeypatch, capsys):
    def broken(*_, **__):
        raise KeyError("no such\nthing")

    monkeypatch.setattr(entry.typer.main, "get_command", broken)
    monkeypatch.delenv(entry.TRACEBACK, raising=False)
    assert main(["methods"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("rankwise: a mistake of rankwise ")
    assert "KeyError at main.py line" in said
    assert "please report it" in said
    assert said.count("\n") == 1
    monkeypatch.setenv(entry.TRACEBACK, "1")
    with pytest.raises(KeyError):
        main(["methods"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["study", "smoke"], "interrupted; the same command continues where it stopped"),
        (["train", "--out", "generate"], "interrupted; the same command continues where it stopped"),
        (["chain", "study"], "interrupted; the same command continues where it stopped"),
        (["generate", "train"], "interrupted"),
        (["analyze", "toys"], "interrupted"),
        (["merge", "a", "b", "--out", "c"], "interrupted"),
        ([], "interrupted"),
    ],
)
def test_only_what_can_go_on_says_so(arguments, said, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(entry.typer.main, "get_command", stopped)
    assert main(arguments) == entry.INTERRUPTED
    assert capsys.readouterr().err == f"rankwise: {said}\n"


def test_help_says_how_to_see_more(capsys):
    assert main(["--help"]) == 0
    assert "RANKWISE_TRACEBACK=1 shows where a fault happened" in " ".join(capsys.readouterr().out.split())


def test_too_little_memory_is_no_mistake_of_ours(monkeypatch, capsys):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(entry.typer.main, "get_command", full)
    assert main(["methods"]) == 1
    assert "not enough memory" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["train", "--out", "a\udcff"], ["\udcff"], ["cost", "--model", "\udcc3/b"]])
def test_an_argument_that_is_not_text(arguments, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "is not UTF-8 text" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("arguments", [["methods"], ["methods", "--json"]])
def test_every_character_can_be_printed(arguments, encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(arguments) == 0
    print(json.dumps("ả😀\udc80", ensure_ascii=False), file=stream)
    stream.flush()
    lines = stream.buffer.getvalue().decode(encoding).splitlines()
    assert json.loads(lines[-1]).encode("utf-16", "surrogatepass") == "ả😀\udc80".encode("utf-16", "surrogatepass")
    if "--json" in arguments:
        assert json.loads("\n".join(lines[:-1]))


@pytest.mark.parametrize(
    "arguments", [["methods", "\x1b[2J\x9bx"], ["\x1b]0;x\x07"], ["cost", "--method", "\x1b[31mx"]]
)
def test_what_was_typed_reaches_no_terminal_as_a_code(arguments, capsys):
    assert main(arguments) == 2
    assert not set(capsys.readouterr().err) & set("\x1b\x9b\x07")


@pytest.mark.parametrize("arguments", [["methods", "x" * 90_000], ["cost", "--method", "x" * 90_000]])
def test_a_sentence_that_quotes_something_endless_is_shortened(arguments, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert " ... " in said
    assert len(said) < 1700


def test_what_a_file_says_makes_no_second_line(tmp_path, capsys):
    name = "x\r\nrankwise: all is well\u2028.yaml"
    assert main(["study", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("rankwise: no such study file: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--scale", "smoke", "--dry-run", "--out", "\x1b[31m\x9b"],
        ["study", "smoke", "--dry-run", "--out", "\x1b[31m\x9b\u202e"],
        ["methods", "--family", "\x1b[2J"],
    ],
)
def test_nothing_typed_comes_back_as_a_code(arguments, capsys):
    main(arguments)
    said = capsys.readouterr()
    assert not set(said.out + said.err) & set("\x1b\x9b\u202e")
