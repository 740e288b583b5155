"""``hyflexsim faults``: the same scenario without faults, with them, and repaired."""

RUN = ("faults", "part-jets", "--set", "workload.count=2", "--set", "mapping.copies=none")


def columns(out):
    """Figures of the table, by row."""
    rows = {}
    for line in out.splitlines():
        for name in ("requests lost", "requests answered", "arrays of weights", "arrays of copies"):
            if line.startswith(name):
                rows[name] = line.removeprefix(name).split()
    return rows


def test_three_runs_side_by_side(hyflexsim):
    code, out, err = hyflexsim(*RUN, "--set", "faults.arrays=0.5")
    assert (code, err) == (0, "")
    assert "without faults" in out
    assert "not repaired" in out
    assert columns(out)["arrays of copies"] == ["0", "0", "0"]
    assert len(set(columns(out)["arrays of weights"])) == 1
    assert "note: repaired: left out as broken: 0 PUs, and " in out


def test_dead_pus_alone_leave_nothing_to_repair(hyflexsim):
    _, out, _ = hyflexsim(*RUN, "--set", "faults.names=['pu0', 'pu5']")
    assert "not repaired" not in out
    assert columns(out)["requests lost"] == ["0", "0"]
    assert "left out as broken: 2 PUs, and 0 arrays" in out


def test_requests_that_a_dying_pu_loses_are_counted(hyflexsim):
    when = "faults.deaths={pu3 = '600 us'}"
    code, out, _ = hyflexsim(*RUN, "--set", when)
    assert code == 0
    lost, answered = columns(out)["requests lost"], columns(out)["requests answered"]
    assert [int(a) + int(b) for a, b in zip(lost, answered, strict=True)] == [2, 2]
    assert lost[0] == "0" != lost[1]
    assert "requests are lost: pu03 died" in out


def test_of_several_models_each_loses_its_own(hyflexsim):
    few = ("models.mlp.workload.requests=60", "models.tagger.workload.count=2")
    when = "faults.deaths={pu0 = '40 us'}"
    code, out, err = hyflexsim("faults", "jets-and-mlp", *(f"--set={c}" for c in (*few, when)))
    assert (code, err) == (0, "")
    rows = [line.partition(": requests lost") for line in out.splitlines()]
    lost = {model: counts.split() for model, found, counts in rows if found}
    assert lost["tagger"] == ["0", "0"]
    assert lost["mlp"] == columns(out)["requests lost"]
    assert lost["mlp"][0] == "0" < lost["mlp"][1]


def test_where_nobody_is_answered_that_is_the_answer(hyflexsim):
    code, _, err = hyflexsim(*RUN, "--set", "faults.deaths={pu3 = '1 us'}")
    assert code == 2
    assert err.startswith("hyflexsim: faults.deaths: no request is answered before pu03.")


def test_a_scenario_without_faults_is_refused(hyflexsim):
    code, _, err = hyflexsim(*RUN)
    line = "faults: the scenario names none; give --set faults.columns=0.01 or such"
    assert (code, err) == (2, f"hyflexsim: {line}\n")


def test_a_rate_above_one_is_refused(hyflexsim):
    code, _, err = hyflexsim(*RUN, "--set", "faults.columns=2")
    assert code == 2
    assert "faults.columns must be a number from 0 to 1; got 2" in err


def test_notes_are_said_once_with_the_runs_that_they_are_of(hyflexsim):
    _, out, _ = hyflexsim(*RUN, "--set", "faults.arrays=0.5")
    weights = "weights are on the chip when the run starts: programming them is not counted"
    assert out.count(weights) == 1
    assert f"note: {weights}" in out
    assert "note: repaired: left out as broken" in out


def test_scores_of_pictures_unlike_those_of_the_training_are_said_by_feature(
    hyflexsim, dark_checkpoint
):
    workload = "workload={kind='tokens', tokens=5, requests=1}"
    few = ("accuracy.seeds=1", "accuracy.limit=20", "accuracy.sigma=['chip']")
    changes = (f"model.checkpoint={dark_checkpoint}", workload, "faults.columns=0.01", *few)
    code, out, err = hyflexsim("faults", "hybrid-jets", *(f"--set={c}" for c in changes))
    assert (code, err) == (0, "")
    said = "note: scores are a guess: brightness of 100.0% of the pictures is outside of -9 to -8"
    assert out.count(said) == 1
    assert "faults.columns" not in next(n for n in out.splitlines() if "without effect" in n)
