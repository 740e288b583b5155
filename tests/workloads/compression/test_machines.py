"""Chips of a study, by what differs."""

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.machines import (
    Machine,
    machine_from,
    machines_from,
    varied,
)

TIED = "adc.slc_bits:adc.mlc_bits"


def test_machines_by_what_differs():
    assert machine_from("isaac", ["mapping.weight_clip=second-signed"]).clip == "second-signed"
    some = machines_from(Machine(), ["adc.mlc_bits=6,8", "sign=biased"])
    assert [*some] == [
        "hyflexpim",
        "adc.mlc_bits=6, sign=biased",
        "adc.mlc_bits=8, sign=biased",
    ]
    assert some["adc.mlc_bits=8, sign=biased"].chip()["analog.adc.mlc_bits"] == 8
    for call, message in (
        (lambda: machine_from("hyflexpim", ["adc_mode=clip"]), "--set: adc_mode is adc.range, a"),
        (lambda: machine_from("hyflexpim", ["accuracy.clip=max"]), "--set: accuracy.clip is mapp"),
        (lambda: machine_from("hyflexpim", ["mapping.weight_clip=no"]), "--set: mapping.weight_c"),
        (lambda: machine_from("hyflexpim", ["sigm=2"]), "--set: unknown key 'sigm'"),
        (lambda: machines_from(Machine(), ["sign="]), "--vary must be key=A,B,…; got 'sign='"),
        (lambda: machines_from(Machine(), ["sign=up"]), "--vary: analog.sign must be one of"),
        (lambda: machines_from(Machine(), ["rows=1"]), "--vary: key 'rows' must be one of analog."),
        (
            lambda: machines_from(Machine(), [f"{TIED}=4:5,6"]),
            f"--vary {TIED}: must be 2 values,",
        ),
        (lambda: machines_from(Machine(), [f"{TIED}=4:"]), f"--vary {TIED}: must be 2 values, one"),
        (
            lambda: machines_from(Machine(), ["adc.mlc_bits=6", f"{TIED}=4:5"]),
            "--vary must name a parameter once; got analog.adc.mlc_bits twice",
        ),
        (lambda: Machine("non-pim").variant(5), "non-pim: macs has no converters; got 5 bits"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value).startswith(message)


def test_parameters_vary_together():
    some = machines_from(Machine(), [f"{TIED}=4:5,7:8", "analog.rows=64,128"])
    points = [tuple(values.values()) for values in varied(some).values()]
    assert points == [(6, 7, 64), (4, 5, 64), (4, 5, 128), (7, 8, 64), (7, 8, 128)]
    assert next(iter(varied(some)["hyflexpim"])) == "analog.adc.slc_bits"


def test_the_chip_itself_is_there_once_and_first():
    grid = [f"{TIED}=6:7,5:6,6:7", "analog.rows=128,64"]
    assert [*machines_from(Machine(), grid)] == [
        "hyflexpim",
        "adc.slc_bits=6, adc.mlc_bits=7, rows=128",
        "adc.slc_bits=5, adc.mlc_bits=6, rows=128",
        "adc.slc_bits=5, adc.mlc_bits=6, rows=64",
    ]
    changed = machine_from("hyflexpim", ["analog.rows=128"])
    some = machines_from(changed, ["analog.rows=64,128"])
    assert [*some] == ["hyflexpim, rows=128", "rows=64"]
    assert varied(some)["rows=64"] == {"analog.rows": 64}
    assert varied(machines_from(changed, ())) == {"hyflexpim, rows=128": {}}
