"""The answer on the page: with a verdict the steps that a new case begins with are folded, once."""

from types import SimpleNamespace

from MultiViewRegistrationLib.session.presenters.answer import WORDS, Answer
from MultiViewRegistrationLib.viewer.application import FIRST_STEPS, AnswerBar


def test_the_first_steps_are_folded_once_there_is_a_verdict():
    class State(SimpleNamespace):
        def __setitem__(self, name, value):
            setattr(self, name, value)

    answers = []
    presenter = SimpleNamespace(TITLE="Answer", BEGINS=True, form=list, answer=lambda: answers[-1])
    state = State(answer=None, open_steps=FIRST_STEPS)
    bar = AnswerBar(SimpleNamespace(answer_presenter=presenter, registration=None, state=state))

    def shown(kind, steps):
        state.open_steps = steps
        answers.append(Answer(kind, *WORDS[kind], ""))
        bar.refresh()
        return state.open_steps

    assert shown("running", FIRST_STEPS) == FIRST_STEPS
    assert shown("accept", FIRST_STEPS) == [] and state.answer["kind"] == "accept"
    assert shown("accept", FIRST_STEPS) == FIRST_STEPS  # opened again, they stay
    shown("moved", [])
    assert shown("check", ["ct", "xrays", "check"]) == [
        "ct",
        "xrays",
        "check",
    ]  # somebody looks at more
