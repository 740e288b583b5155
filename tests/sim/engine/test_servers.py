"""Places of a buffer: given back now, seen one picosecond later."""

import simpy

from hyflexsim.sim.engine.servers import InputBuffer


class Run:
    """As much of an engine as a buffer sees."""

    def __init__(self):
        self.clock = simpy.Environment()


def full(places):
    """A buffer whose places are all taken."""
    buffer = InputBuffer(Run(), places)
    for _ in range(places):
        assert buffer.has_place(0)
        buffer.reserve()
    return buffer


def test_places_given_back_in_one_instant_are_seen_in_the_next():
    buffer = full(2)
    buffer.give_back(5)
    buffer.give_back(5)
    assert not buffer.has_place(5)
    assert buffer.has_place(6)
    assert buffer.free == 2


def test_a_place_given_back_before_is_seen_beside_one_given_back_now():
    buffer = full(2)
    buffer.give_back(5)
    buffer.give_back(9)
    assert buffer.has_place(9)
    assert (buffer.free, buffer.freed) == (1, 1)


def test_the_least_that_was_free_counts_places_on_their_way():
    buffer = full(2)
    assert buffer.least_free == 0
    other = InputBuffer(Run(), 3)
    other.reserve()
    other.give_back(0)
    other.reserve()
    assert other.least_free == 2
