"""Ranges of numbers, tokens that are known or not, and items that leave both."""

import numpy as np

from hyflexsim.workloads.tasks.catalogue import load_task
from hyflexsim.workloads.tasks.seen import Items, far_outside, seen


def numbers(values):
    return Items("pictures", {"brightness": np.array(values, dtype=float)})


def tokens(*ids):
    return Items("windows", {}, np.array(ids))


def test_one_in_a_hundred_may_leave_a_range():
    known = seen(numbers(np.arange(2001)), numbers([5]))
    assert known == {"ranges": {"brightness": [2.0, 1998.0, 0.0]}}
    assert far_outside(numbers([2] * 99 + [1]), known) == []
    (line,) = far_outside(numbers([2] * 98 + [1, 1999]), known)
    assert line == (
        "scores are a guess: brightness of 2.0% of the pictures is outside of 2 to 2e+03, where "
        "99.8 % of those lie that the weights were trained on"
    )


def test_five_times_as_many_as_of_the_own_held_out_items_may_leave_it():
    """A twentieth of those held out did: few items, none of which says anything."""
    known = seen(numbers(np.arange(2001)), numbers([5] * 19 + [0]))
    assert known["ranges"]["brightness"][2] == 0.05
    assert far_outside(numbers([5] * 3 + [0]), known) == []
    assert len(far_outside(numbers([5] * 2 + [0]), known)) == 1


def test_tokens_are_new_five_times_as_often_as_in_the_own_held_out_text():
    """Nine of ten ids trained on; a twentieth of the own text is new, so a quarter may be."""
    known = seen(tokens(*range(9)), tokens(*[0] * 19, 9))
    assert known["tokens"] == {"known": "ff80", "new": 0.05}
    assert far_outside(tokens(0, 0, 0, 99), known) == []
    (line,) = far_outside(tokens(0, 0, 9, 99), known)
    assert line.startswith("scores are a guess: 50.0% of the tokens are nowhere in the text that")


def test_what_is_not_known_is_not_said():
    assert far_outside(numbers([5]), None) == []
    assert far_outside(numbers([5]), {"ranges": {"contrast": [0, 1, 0]}}) == []
    assert far_outside(tokens(1), {"ranges": {"contrast": [0, 1, 0]}}) == []


def test_held_out_digits_and_help_topics_are_like_those_trained_on():
    for name, options in (("digits", {}), ("pydoc", {"window": 64, "test_windows": 64})):
        task = load_task(name, options=options)
        known = seen(task.items("train"), task.items("test"))
        assert far_outside(task.items("test"), known) == [], name


def test_another_script_is_said():
    task = load_task("pydoc", options={"window": 64, "test_windows": 8})
    known = seen(task.items("train"), task.items("test"))
    russian = np.frombuffer("Справка по модулям языка".encode(), dtype=np.uint8)
    (line,) = far_outside(tokens(*russian), known)
    assert "% of the tokens are nowhere in the text" in line
