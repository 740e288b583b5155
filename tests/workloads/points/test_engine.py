"""Who gets which point."""

from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.workloads.points.engine import Listed

POINTS = [{"plan": plan, "seed": seed} for seed in range(3) for plan in "ab"]


def listed(points=POINTS, done=()):
    return Listed(points, set(done), lambda settings: settings["plan"])


def test_a_worker_keeps_its_group_and_then_takes_a_fresh_one():
    source = listed()
    assert [source.next(g).point for g in ("", "", "a", "a", "b", "b")] == [0, 1, 2, 4, 3, 5]
    assert source.next("a") is None


def test_when_no_group_is_fresh_the_longest_is_shared():
    source = listed([{"plan": plan} for plan in "abbbcc"])
    assert [source.next("").point for _ in range(3)] == [0, 1, 4]
    assert source.next("a").point == 2  # of b, which has two left, not of c
    assert source.next("c").point == 5
    assert source.next("c").point == 3


def test_points_that_are_done_are_left_out():
    source = listed(done=[0, 1, 2, 3])
    assert [source.next("").point for _ in range(2)] == [4, 5]
    assert source.next("") is None


@given(plans=st.lists(st.sampled_from("abc"), max_size=12), asked=st.randoms(use_true_random=False))
def test_every_point_is_given_once(plans, asked):
    source = listed([{"plan": plan} for plan in plans])
    found = [source.next(asked.choice(["", "a", "b", "c"])) for _ in plans]
    assert sorted(each.point for each in found) == list(range(len(plans)))
    assert all(each.group == plans[each.point] for each in found)
    assert source.next("") is None
