"""Chips of a study, by what differs."""

import pytest

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.machines import Machine, machine_from, machines_from


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
        (lambda: machines_from(Machine(), ["sign=up"]), "overrides: analog.sign must be one of"),
        (lambda: Machine("non-pim").variant(5), "non-pim: macs has no converters; got 5 bits"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value).startswith(message)
