"""``hyflexsim trace``: one file, or one line."""

import pytest

RUN = ("run", "part-jets", "--set", "workload.count=2", "--no-plots")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trace") / "run"


def test_a_file_beside_the_run(hyflexsim, folder):
    assert hyflexsim(*RUN, "--out", str(folder))[0] == 0
    code, out, err = hyflexsim("trace", str(folder), "--requests", "1")
    assert (code, err) == (0, "")
    file = folder / "trace.pftrace"
    assert f"visits written to {file}; there, 1 ns is 1 ps of the run" in out
    assert file.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0,x", "--requests must be whole numbers with commas between; got '0,x'"),
        ("7", "requests must be of those in the trace, 0 to 1; got 7"),
    ],
)
def test_other_requests_are_refused(hyflexsim, folder, given, said):
    code, _, err = hyflexsim("trace", str(folder), "--requests", given)
    assert code == 2
    assert err.endswith(f"{said}\n")
    assert err.count("\n") == 1


def test_no_such_folder(hyflexsim, tmp_path):
    code, _, err = hyflexsim("trace", str(tmp_path / "none"))
    assert (code, err.count("\n")) == (2, 1)
