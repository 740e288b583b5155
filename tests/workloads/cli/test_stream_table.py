"""What the command line says of a stream."""

from rich.console import Console

from hyflexsim.workloads import simulate
from hyflexsim.workloads.cli.stream_table import stream
from hyflexsim.workloads.cli.terminal_tables import headline
from hyflexsim.workloads.scenario.scenario import Scenario


def lines(table):
    console = Console(width=140, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def run(**changes):
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return simulate(Scenario.load("part-jets", {"trace.stop": 1, **named}))


def test_a_stream_that_is_too_fast():
    result = run(workload__count=100, workload__arrivals={"kind": "interval", "interval": "1 ns"})
    said = lines(headline(result.summary, result.tables["requests"]))
    assert any(line.startswith("queue grows without bound: 1.00 G/s come, ") for line in said)
    assert "warm-up – no steady state found in this run: of all requests" in lines(
        stream(result.summary)
    )


def test_loss_and_deadline():
    arrivals = {"kind": "interval", "interval": "1 us"}
    given = {"run__window": 1, "host__queue": 1, "host__deadline": "1 ms"}
    result = run(workload__count=50, workload__arrivals=arrivals, **given)
    lost = result.summary["lost"]
    said = lines(stream(result.summary))
    assert f"lost {lost} by cause: queue {lost}" in said
    assert "offered 1.00 M/s between first and last" in said
    assert "in time 100.00% within 1.00 ms" in said
    assert not any(line.startswith("latency p99") for line in said)  # of fewer than a hundred


def test_intervals_are_shown_where_there_are_some():
    said = lines(stream(run().summary))
    latency = next(line for line in said if line.startswith("latency mean"))
    assert "±" in latency
    assert latency.endswith("(95 %)")
