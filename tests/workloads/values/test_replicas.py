"""Chips behind a dispatcher compute alike."""

from hyflexsim.workloads import Scenario
from hyflexsim.workloads.values import execute


def test_replicas_compute_what_one_chip_does():
    two = Scenario.load("hybrid-jets", {"host.replicas": 2})
    assert execute(two, requests=1).rows == execute("hybrid-jets", requests=1).rows
