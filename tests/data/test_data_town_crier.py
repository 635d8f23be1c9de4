"""The style task: the same manner for every answer, and nothing new in any."""

import pytest

from rankwise.data import Limits
from rankwise.data.town_crier import town_crier
from rankwise.errors import UsageError


def test_the_code_stands_in_the_question_and_the_manner_is_one():
    found = town_crier(Limits(50, 10, 10), seed=1)
    assert found == town_crier(Limits(50, 10, 10), seed=1)
    manners, questions = set(), set()
    for example in (*found.train, *found.selection, *found.test):
        _, question, reply = (message.content for message in example.messages)
        told = question.split(" has the code ")[1].split(". Code of agent ")
        code, agent = told[0], told[1].removesuffix("?")
        assert code in reply
        assert agent in reply
        manners.add(reply.replace(code, "").replace(agent, ""))
        questions.add(question)
    assert len(manners) == 1
    assert len(questions) == 70, "no agent is in two splits"


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UsageError, match="must be a number"):
        town_crier(Limits(None, 1, 1))
    with pytest.raises(UsageError, match="names for"):
        town_crier(Limits(10**6, 1, 1))
