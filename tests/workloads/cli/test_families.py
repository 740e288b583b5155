"""``hyflexsim models`` prints the table that tests hold to torch."""

from hyflexsim.workloads.extraction.families import FAMILIES


def test_every_family_is_listed_with_its_state(hyflexsim):
    code, out, err = hyflexsim("models")
    assert (code, err) == (0, "")
    lines = {line.split(" ")[0]: line for line in out.splitlines()}
    for name, family in FAMILIES.items():
        assert family.state in lines[name]
