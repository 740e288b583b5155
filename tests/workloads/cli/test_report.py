"""``hyflexsim report``: of a run, a sweep and a study, and of a folder that is none."""

import pytest

RUN = ("run", "part-jets", "--set", "workload.count=2", "--no-plots")


def test_of_a_run(hyflexsim, tmp_path):
    folder = tmp_path / "run"
    assert hyflexsim(*RUN, "--out", str(folder))[0] == 0
    code, out, err = hyflexsim("report", str(folder))
    assert (code, err) == (0, "")
    assert out == f"written to {folder / 'report.html'}\n"
    text = (folder / "report.html").read_text("utf-8")
    assert "part-jets: part-full on hyflexpim" in text
    assert "weights are on the chip when the run starts" in text


@pytest.mark.parametrize("given", [[], ["--out", "x.html"]])
def test_of_nothing(hyflexsim, tmp_path, given):
    code, _, err = hyflexsim("report", str(tmp_path), *given)
    assert code == 2
    assert err == f"hyflexsim: {tmp_path}: no folder of a run, a sweep or a study\n"
