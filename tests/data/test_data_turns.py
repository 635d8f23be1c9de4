"""Every key of a turn is obeyed, rendered by the chat template, or named: none vanishes."""

import json

import pytest

from rankwise.data import Example, Message, load_data, load_examples
from rankwise.data.forms import read_rows
from rankwise.data.forms.reading import Reading
from rankwise.data.forms.turn_keys import MARKS
from rankwise.data.render import encode, encode_split
from rankwise.errors import UsageError

from .conftest import CHATML, make_tokenizer
from .test_data_render import shown

ASK, GOOD = {"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": "é"}}}


def read(*rows):
    return read_rows([(f"f line {n}", row) for n, row in enumerate(rows, start=1)], Reading())


def one(row) -> Example:
    (example,) = read(row).examples
    return example


# How a row holds a first reply with more keys, then a good one.
SHAPES = {
    "messages": lambda more: {"messages": [ASK, {"role": "assistant", "content": "WRONG", **more}, ASK, GOOD]},
    "sharegpt": lambda more: {
        "conversations": [
            {"from": "human", "value": "q"},
            {"from": "gpt", "value": "WRONG", **more},
            {"from": "human", "value": "q"},
            {"from": "gpt", "value": "good"},
        ]
    },
    "completion": lambda more: {
        "prompt": [ASK],
        "completion": [{"role": "assistant", "content": "WRONG", **more}, ASK, GOOD],
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key", MARKS)
@pytest.mark.parametrize(
    ("value", "learned"),
    [(0, False), (0.0, False), (False, False), ("false", False), (1, True), (1.0, True), (True, True), (None, True)],
)
def test_a_reply_is_learned_unless_it_is_marked(tokenizer, shape, key, value, learned) -> None:
    example = one(SHAPES[shape]({key: value}))
    assert not any(message.more for message in example.messages)
    text = shown(encode(example, tokenizer), tokenizer)
    assert ("[WRONG<|im_end|>]" in text) == learned
    assert "WRONG<|im_end|>" in text, "it is read all the same"
    assert text.endswith("[good<|im_end|>]")
    assert encode_split((example,), tokenizer, max_length=400, split="train")[1] == ()


@pytest.mark.parametrize("key", MARKS)
@pytest.mark.parametrize("value", [0.5, -1, 2, "half", [1, 0]])
def test_a_mark_that_is_neither_yes_nor_no_is_refused(key, value) -> None:
    with pytest.raises(UsageError, match=f"line 1, messages turn 2: '{key}' is .*a turn is learned"):
        read(SHAPES["messages"]({key: value}))


def test_rows_without_anything_to_learn_are_counted_and_left_out(write) -> None:
    rows = [{"messages": [ASK | {"content": f"q{n}"}, GOOD | {"weight": int(n % 4 > 0)}]} for n in range(40)]
    splits = load_examples(str(write("a.jsonl", rows)))
    assert sum(map(len, (splits.train, splits.selection, splits.test))) == 30
    assert "10 train rows left out: marked as having no label or answer, or nothing to learn" in splits.notes


# Templates for conversations that call tools, each as one family of models writes them.
WORDS = "{{ '<|im_start|>' + m.role + '\n' }}%s{{ m.content }}"
OPEN = "{% for m in messages %}"
CLOSE = "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
TAGGED = (  # Qwen's kind: calls between tags that are words, reasoning before them, tools listed in front
    "{% if tools %}{{ 'tools: ' + (tools | tojson) + '\n' }}{% endif %}"
    + OPEN
    + WORDS % "{% if m.reasoning_content %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}"
    + "{% for c in m.tool_calls or [] %}{{ '\n<tool_call>\n' + (c.function | tojson) + '\n</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}" + CLOSE
)
CLOSED = TAGGED.replace(
    "\n</tool_call>", "<|call_end|>"
)  # DeepSeek's kind: calls end with a special token of their own
OTHER_END = TAGGED.replace(
    "{{ '<|im_end|>\n' }}", "{{ '<|call_end|>\n' if m.tool_calls else '<|im_end|>\n' }}"
)  # Llama's
WRITTEN = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": "é"}}\n</tool_call>'
LOOP = [
    ASK,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "4"},
    GOOD | {"reasoning_content": "hm"},
]


def with_special(template):
    tokenizer = make_tokenizer(template)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|call_end|>"]})
    return tokenizer


@pytest.mark.parametrize(
    ("template", "call"),
    [
        (TAGGED, WRITTEN + "<|im_end|>"),
        (CLOSED, WRITTEN.replace("\n</tool_call>", "<|call_end|>") + "<|im_end|>"),
        (OTHER_END, WRITTEN + "<|call_end|>"),
    ],
)
@pytest.mark.parametrize("arguments", [CALL["function"]["arguments"], json.dumps(CALL["function"]["arguments"])])
def test_calls_and_reasoning_are_learned_up_to_the_end_of_the_turn(template, call, arguments) -> None:
    tokenizer = with_special(template)
    calls = [{"function": {"name": "add", "arguments": arguments}}]
    example = one({"messages": [ASK, LOOP[1] | {"tool_calls": calls}, *LOOP[2:]], "tools": [{"name": "add"}]})
    assert shown(encode(example, tokenizer), tokenizer) == (
        'tools: [{"name": "add"}]\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[\n' + call + "]\n"
        "<|im_start|>tool\n4<|im_end|>\n<|im_start|>assistant\n[<think>\nhm\n</think>\n\ngood<|im_end|>]"
    )
    assert encode_split((example,), tokenizer, max_length=999, split="train")[1] == ()


@pytest.mark.parametrize("content", [None, "", "let me see"])
def test_a_turn_that_calls_needs_no_words(content) -> None:
    tokenizer = make_tokenizer(TAGGED)
    turn = {"role": "assistant", "tool_calls": [CALL]} | ({} if content is None else {"content": content})
    text = shown(encode(one({"messages": [ASK, turn]}), tokenizer), tokenizer)
    assert text.endswith(f"assistant\n[{content or ''}\n{WRITTEN}<|im_end|>]")


UNUSED = "not used in the train split, as the chat template makes nothing of them (examples): "
ANN = ASK | {"name": "Ann"}
SILENT_TOOL = TAGGED.replace("m.content", "m.content if m.role != 'tool' else ''")


@pytest.mark.parametrize(
    ("template", "turns", "note"),
    [
        (CHATML, LOOP, UNUSED + "reasoning_content of assistant turns (1), tool_calls of assistant turns (1)"),
        (TAGGED, [ANN | {"train": True}, GOOD], UNUSED + "name of user turns (1), train of user turns (1)"),
        (TAGGED.replace("m.role +", "(m.name or m.role) +"), [ANN, GOOD], None),
        (SILENT_TOOL, LOOP, UNUSED + "the words of tool turns (1)"),
        (TAGGED, [ASK, GOOD | {"id": 7, "tool_calls": [], "x": None}], UNUSED + "id of assistant turns (1)"),
        (None, LOOP, "as the tokenizer has no chat template .examples.: reasoning_content .*tool_calls of assistant"),
    ],
)  # fmt: skip
def test_what_a_template_does_not_use_is_named(template, turns, note) -> None:
    import re

    example = one({"messages": turns})
    _, notes = encode_split((example,), make_tokenizer(template), max_length=999, split="train")
    assert len(notes) == (note is not None)
    assert note is None or re.search(note if template is None else re.escape(note) + "$", notes[0])


def test_a_call_that_is_not_written_is_not_learned_as_silence() -> None:
    text = shown(encode(one({"messages": LOOP}), make_tokenizer(CHATML)), make_tokenizer(CHATML))
    assert "<|im_start|>assistant\n<|im_end|>\n<|im_start|>tool\n4<|im_end|>" in text
    assert text.count("[") == 1


def test_doctor_and_a_study_hear_of_it(write, tokenizer) -> None:
    from rankwise.data import profile

    rows = [{"messages": [ASK | {"content": f"q{n}", "name": "Ann"}, GOOD], "id": n} for n in range(20)]
    path = str(write("a.jsonl", rows))
    named = UNUSED.replace("train", "{}") + "name of user turns ({})"
    assert named.format("train", 14) in load_data(path, tokenizer).notes
    assert named.format("test", 4) in profile(load_examples(path), tokenizer, max_length=99).notes


def test_other_keys_tell_rows_apart() -> None:
    other = {"function": {"name": "sub", "arguments": {}}}
    texts = {one({"messages": [ASK, LOOP[1] | {"tool_calls": [call]}]}).text for call in (CALL, other, CALL)}
    assert len(texts) == 2
    assert (
        Example((Message("user", "a"), Message("assistant", "b"))).text == '[true, [["user", "a"], ["assistant", "b"]]]'
    )


@pytest.mark.parametrize("tools", [[{"name": "f"}], '[{"name": "f"}]', None, "", []])
@pytest.mark.parametrize("column", ["messages", "conversations"])
def test_tools_of_a_row_reach_the_template(tools, column) -> None:
    tokenizer = make_tokenizer(TAGGED)
    text = shown(encode(one({column: [ASK, GOOD], "tools": tools}), tokenizer), tokenizer)
    assert text.startswith('tools: [{"name": "f"}]\n' if tools else "<|im_start|>user")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"messages": [ASK, GOOD], "tools": "f(x)"}, "line 1: 'tools' is text that is no JSON list"),
        ({"messages": [ASK, GOOD], "tools": {"name": "f"}}, "line 1: 'tools' must be a list of functions, found dict"),
        ({"messages": [ASK, GOOD | {"tool_calls": "add(2)"}]}, "turn 2: 'tool_calls' must be a list of objects"),
        ({"messages": [ASK, {"role": "assistant", "content": None}]}, "turn 2: 'content' must be text, found NoneType"),
        ({"messages": [ASK, {"role": "assistant", "reasoning_content": "x"}]}, "turn 2: a turn must be an object with"),
        ({"messages": [ASK, GOOD | {"note": "\ud83d"}]}, "turn 2: 'note' holds half a character"),
        ({"messages": [{"role": "developer", "content": "d"}, GOOD]}, "starts with the assistant"),
    ],
)  # fmt: skip
def test_keys_that_cannot_be_read_are_refused(row, match) -> None:
    with pytest.raises(UsageError, match=match):
        read(row)


def parts(*texts):
    return [{"type": "text", "text": text, "image_url": None} for text in texts]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": parts("What is ", "1 + 1?")}, GOOD | {"content": parts("good")}]},
        {"conversations": [{"from": "human", "value": parts("What is 1 + 1?")}, {"from": "gpt", "value": "good"}]},
        {"prompt": [{"role": "user", "content": [{"text": "What is 1 + 1?"}]}], "completion": [GOOD]},
        {"chosen": [{"role": "user", "content": parts("What is 1", " + ", "1?")}, GOOD], "rejected": []},
        {"messages": [{"role": "user", "content": [{"type": "input_text", "text": "What is 1 + 1?"}]}, GOOD]},
    ],
)
def test_content_in_parts_of_text_is_its_text(row):
    assert [message.content for message in one(row).messages] == ["What is 1 + 1?", "good"]


@pytest.mark.parametrize(
    ("part", "match"),
    [
        ({"type": "image_url", "image_url": {"url": "x"}}, "part 3 of 'content' is of type 'image_url', and only"),
        ({"type": "input_audio", "text": "x"}, "part 3 of 'content' is of type 'input_audio'"),
        ({"image": "a.png"}, "part 3 of 'content' has no type"),
        ({"type": ["text"]}, "part 3 of 'content' is of type"),
        ({"type": "text", "text": None}, "part 3 of 'content' must hold its words under 'text', found NoneType"),
        ({"type": "text", "text": ["a"]}, "part 3 of 'content' must hold its words under 'text', found list"),
        ("b", "'content' must be text, found list"),
    ],
)
def test_other_parts_are_told(part, match):
    with pytest.raises(UsageError, match=f"line 1, messages turn 1: {match}"):
        one({"messages": [{"role": "user", "content": [*parts("a", "b"), part]}, GOOD]})


def test_blank_parts_are_an_empty_turn():
    with pytest.raises(UsageError, match="turn 1: 'content' is empty"):
        one({"messages": [{"role": "user", "content": parts("", " ")}, GOOD]})
