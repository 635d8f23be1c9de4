import pytest

from rankwise.data import Message
from rankwise.data.forms import FORMS, Read, detect, read_rows
from rankwise.data.forms.classification import CATEGORY
from rankwise.data.forms.mawps import infix
from rankwise.data.forms.reading import Reading
from rankwise.errors import UsageError

GOOD = {"role": "assistant", "content": "b"}
ASK = {"role": "user", "content": "a"}


def read(*rows, **known) -> Read:
    return read_rows([(f"f.jsonl line {n}", row) for n, row in enumerate(rows, start=1)], Reading(**known))


def said(row, style="hashes", **known) -> list[tuple[str, str]]:
    (example,) = read(row, style=style, **known).examples
    return [(message.role, message.content) for message in example.messages]


def test_messages_in_any_letter_case() -> None:
    row = {"Messages": [{"role": "user", "content": "a"}, GOOD], "id": 3}
    found = read(row)
    assert found.examples[0].messages == (Message("user", "a"), Message("assistant", "b"))
    assert found.unread == ("id",)


def test_prompt_completion_strings_use_no_template() -> None:
    (example,) = read({"prompt": "a", "completion": "b"}).examples
    assert not example.chat
    assert example.messages == (Message("user", "a"), Message("assistant", "b"))


def test_prompt_completion_lists_learn_the_completion_only() -> None:
    prompt = [{"role": "user", "content": "a"}, GOOD, {"role": "user", "content": "c"}]
    (example,) = read({"prompt": prompt, "completion": [GOOD]}).examples
    assert example.chat
    assert [message.learn for message in example.messages if message.role == "assistant"] == [False, True]


def test_question_explanation_answer_styles() -> None:
    row = {"Question": "q", "Explanation": "e", "Answer": 7.0}
    assert said(row) == [("user", "q"), ("assistant", "e\n#### 7")]
    assert said(row, "think")[1] == ("assistant", "<think>\ne\n</think>\n7")


def test_gsm8k_answers_follow_the_style() -> None:
    row = {"question": "q", "answer": "x\ny\n#### 7"}
    assert said(row)[1] == ("assistant", "x\ny\n#### 7")
    assert said(row, "think")[1] == ("assistant", "<think>\nx\ny\n</think>\n7")
    assert said({"question": "q", "answer": "7"}, "think")[1] == ("assistant", "7")


def test_svamp() -> None:
    row = {"ID": "1", "Body": "Dvds cost 76. If 25 less", "Question": "How much?", "Equation": "( 76.0 - 25.0 )"}
    assert said(row | {"Answer": 51.0}) == [
        ("user", "Dvds cost 76. If 25 less, How much?"),
        ("assistant", "76 - 25 = 51\n#### 51"),
    ]
    nested = row | {"Body": "Go.", "Equation": "( ( 1.5 + 2.0 ) * 10.0 )", "Answer": 35.0}
    assert said(nested)[0][1] == "Go. How much?"
    assert said(nested)[1][1].startswith("( ( 1.5 + 2 ) * 10 ) = 35")


def test_sharegpt_with_its_names_or_with_roles() -> None:
    turns = [{"from": "human", "value": "a"}, {"From": "gpt", "Value": "b"}]
    expected = [("system", "s"), ("user", "a"), ("assistant", "b")]
    assert said({"conversations": turns, "system": "s"}) == expected
    assert said({"Conversations": [{"role": "user", "content": "a"}, GOOD], "system": None}) == expected[1:]
    assert said({"conversations": [{"from": "system", "value": "s"}, *turns], "system": ""}) == expected


def test_alpaca_with_and_without_input() -> None:
    row = {"instruction": "Add.", "input": "2 and 3", "output": "5", "text": "all"}
    assert said(row) == [("user", "Add.\n\n2 and 3"), ("assistant", "5")]
    assert read(row).unread == ("text",)
    for empty in ("", "  ", None, float("nan")):
        assert said(row | {"input": empty})[0] == ("user", "Add.")
    assert said({"Instruction": "Add.", "OUTPUT": "5", "System": "s"})[0] == ("system", "s")


@pytest.mark.parametrize(("question", "label", "asked", "reply"), [
    ("cause", 0, "nguyên nhân", "Nhà vệ sinh đầy nước."),
    ("effect", "1", "kết quả", "Nước chảy ra từ vòi."),
])  # fmt: skip
def test_xcopa_in_vietnamese(question: str, label, asked: str, reply: str) -> None:
    row = {"premise": "Người đàn ông bật vòi nước.", "choice1": "Nhà vệ sinh đầy nước."}
    row |= {"choice2": "Nước chảy ra từ vòi.", "question": question, "label": label, "idx": 0, "changed": False}
    (_, prompt), (_, answer) = said(row)
    assert asked in prompt
    assert prompt.index(row["premise"]) < prompt.index(row["choice1"]) < prompt.index(row["choice2"])
    assert answer == reply
    assert read(row).unread == ("idx", "changed")


def test_xcopa_in_english() -> None:
    row = {"premise": "It rained.", "choice1": "I slept.", "choice2": "I got wet.", "question": "effect", "label": 1}
    assert said(row) == [
        ("user", "It rained.\nWhich sentence is the effect?\n- I slept.\n- I got wet."),
        ("assistant", "I got wet."),
    ]


def test_classification_lists_the_options_and_answers_with_the_label() -> None:
    row = {"sentence": "Text: funny and touching ", "label": "Good"}
    asked, reply = said(row, options=("Good", "Bad"), task="SST-2")
    assert asked == ("user", "How does the writer feel?\nOptions: Good, Bad\n\nText: funny and touching")
    assert reply == ("assistant", "Good")
    assert said(row, options=("Good", "Bad"), task="mine")[0][1].startswith("Which option describes the text?")


def test_labels_may_be_numbers_or_truth_values() -> None:
    assert said({"text": "t", "label": 1}, options=("no", "yes"))[1] == ("assistant", "yes")
    assert said({"text": "t", "label": "1"}, options=("0", "1"))[1] == ("assistant", "1")
    assert said({"text": "t", "label": True}, options=("False", "True"))[1] == ("assistant", "True")


def test_rows_without_a_gold_label_are_counted_and_left_out() -> None:
    rows = [{"sentence": "a", "label": "yes"}, {"sentence": "b", "label": "-"}, {"sentence": "c", "label": -1}]
    found = read(*rows, options=("yes", "no"))
    assert (len(found.examples), found.unanswered) == (1, 2)
    with pytest.raises(UsageError, match="line 1: neither this row nor any after it has an answer"):
        read(*rows[1:], options=("yes", "no"))


def test_mawps_puts_numbers_back_and_equations_in_order() -> None:
    row = {"Question": "number0 books on number1 shelves ?", "Numbers": "56.0 9.5", "Equation": "* number0 number1"}
    row |= {"Answer": "532.0", "Body": "x", "Ques": "y", "group_nums": "[1]"}
    assert said(row) == [("user", "56 books on 9.5 shelves ?"), ("assistant", "56 * 9.5 = 532\n#### 532")]
    assert infix("- * + 1 2 3 / 8 4", "w") == "( ( 1 + 2 ) * 3 ) - ( 8 / 4 )"
    assert eval(infix("- 10 - 5 2", "w")) == 7


SUM = {"chosen": "It is 5.", "rejected": "It is 6."}
HELLO = {"role": "user", "content": "Hi"}
TALK = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: 2 + 3?\n\nAssistant:"


@pytest.mark.parametrize(("row", "read_only", "learned"), [
    ({"prompt": "2 + 3?", **SUM}, ["2 + 3?"], "It is 5."),
    ({"question": "2 + 3?", "system": "Add.", **SUM}, ["Add.", "2 + 3?"], "It is 5."),
    ({"prompt": TALK, "chosen": " It is 5."}, ["Hi", "Hello.", "2 + 3?"], "It is 5."),
    ({"chosen": TALK + " It is 5.", "rejected": TALK + " No."}, ["Hi", "Hello.", "2 + 3?"], "It is 5."),
    ({"prompt": [ASK], "chosen": [GOOD], "rejected": [GOOD]}, ["a"], "b"),
    ({"prompt": [ASK], "chosen": "b"}, ["a"], "b"),
    ({"prompt": "a", "chosen": [GOOD]}, ["a"], "b"),
    ({"prompt": "a", "chosen": [ASK, GOOD], "rejected": [ASK, {**GOOD, "content": "c"}]}, ["a"], "b"),
    ({"chosen": [HELLO, GOOD, ASK, GOOD], "rejected": [HELLO, GOOD, ASK, {**GOOD, "content": "c"}]},
     ["Hi", "b", "a"], "b"),
    ({"chosen": [ASK, GOOD], "rejected": [ASK, GOOD]}, ["a"], "b"),
    ({"chosen": "Q: 2?\nA: 5 it is", "rejected": "Q: 2?\nA: 6"}, ["Q: 2?\nA:"], " 5 it is"),
    ({"chosen": "Q: 2?\nfive", "rejected": "Q: 2?\nfifty"}, ["Q: 2?\n"], "five"),
])  # fmt: skip
def test_preferences_learn_the_chosen_reply_only(row, read_only: list[str], learned: str) -> None:
    found = read(row)
    (example,) = found.examples
    assert [message.content for message in example.messages] == [*read_only, learned]
    assert [m.content for m in example.messages if m.role == "assistant" and m.learn] == [learned]
    assert example.chat is not ("Q:" in read_only[0])
    assert "rejected" not in found.unread
    assert "chosen reply is trained on" in found.note


@pytest.mark.parametrize(("row", "asked", "reply"), [
    ({"input": "2 + 3", "target": 5}, "2 + 3", "5"),
    ({"input": "2 + 3", "target": ["5", "five"]}, "2 + 3", "5"),
    ({"input": "2 + 3", "output": "5", "context": ""}, "2 + 3", "5"),
    ({"prompt": "2 + 3", "response": "5"}, "2 + 3", "5"),
    ({"instruction": "Add.", "context": "2 and 3", "response": "5", "category": "qa"}, "Add.\n\n2 and 3", "5"),
    ({"context": "c", "question": " q", "answers": [{"text": "a", "answer_start": 0}, {"text": "b"}]}, "c\n\nq", "a"),
    ({"context": "c", "question": "q", "answers": {"text": ["a"], "answer_start": [0]}}, "c\n\nq", "a"),
])  # fmt: skip
def test_pairs_under_their_common_names(row, asked: str, reply: str) -> None:
    assert said(row) == [("user", asked), ("assistant", reply)]


def test_a_question_without_answers_is_left_out() -> None:
    row = {"context": "c", "question": "q"}
    found = read(row | {"answers": [{"text": "a"}]}, row | {"answers": []}, row | {"answers": {"text": []}})
    assert (len(found.examples), found.unanswered) == (1, 2)


def test_few_categories_are_listed_and_many_are_not() -> None:
    row = {"text": "My card is gone", "category": "lost card"}
    few, many = ("lost card", "rate"), ("lost card", *(f"c{n}" for n in range(20)))
    assert said(row, options=few)[0][1].endswith("\nOptions: lost card, rate\n\nMy card is gone")
    assert said(row, options=many) == [("user", f"{CATEGORY}\n\nMy card is gone"), ("assistant", "lost card")]


def test_no_form_hides_a_later_one() -> None:
    for form in FORMS:
        assert detect(dict.fromkeys(column.title() for column in form.columns), "w") is form


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"qestion": "q", "answer": "a"}, "line 1.*found qestion, answer.*prompt, .*'qestion' is close to 'question'"),
        ({}, "found none"),
        ({"question": "q", "answer": "  "}, r"line 1: 'answer' is empty"),
        ({"prompt": "q", "completion": ""}, r"line 1: 'completion' is empty"),
        ({"question": "q", "answer": None}, "'answer' must be text, found NoneType"),
        ({"question": "q", "answer": True}, "'answer' must be text, found bool"),
        ({"prompt": "q", "completion": [GOOD]}, "both text or both lists"),
        ({"prompt": [ASK], "completion": [ASK]}, "no assistant turn"),
        ({"messages": []}, "must be a list of turns"),
        ({"messages": "hello"}, "must be a list of turns"),
        ({"messages": [{"role": "user"}]}, "turn 1: a turn must be an object with role and content"),
        ({"messages": [ASK, GOOD | {"role": "asistant"}]}, "did you mean 'assistant'.*line 1, messages turn 2"),
        ({"messages": [ASK, GOOD | {"content": ""}]}, "line 1, messages turn 2: 'content' is empty"),
        ({"messages": [GOOD]}, "starts with the assistant"),
        ({"messages": [ASK]}, "no assistant turn to train on"),
        ({"question": "q", "Question": "q", "answer": "a"}, "differ only in letter case"),
    ],
)  # fmt: skip
def test_errors(row, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        read(row)


def test_a_row_that_lacks_a_column_is_named() -> None:
    with pytest.raises(UsageError, match="line 2: column 'answer' is missing"):
        read({"question": "q", "answer": "a"}, {"question": "q"})
