"""Every parameter of a chip that acts on values moves what a model computes, and no other does.

The same parameters, and the answers of the simulator: tests/sim/chip/test_perturbation.py.
"""

import functools

import pytest
import torch
from torch import nn

from hyflexsim.models.cells.on_chip import matrices, on_chip
from hyflexsim.models.errors import ModelError
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options, weights_on
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.compression.devices import device_of, noises_of, settings_from
from hyflexsim.workloads.compression.protection import masks_of, with_importance
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.extract import extract_config

BERT = {"model_type": "bert", "vocab_size": 20, "num_hidden_layers": 1, "hidden_size": 48}
BERT |= {"num_attention_heads": 2, "intermediate_size": 96}
CELLS = "analog.cells."
DRIFTING = {"noise": "conductance", "drift": 0.1, "drift_sigma": 0.05, "age": "100 s"}
BASES = {
    "sigma": {},
    "pairs": {"analog.sign": "differential-rows"},
    "error-rate": {CELLS + "noise": "error-rate", CELLS + "slc_error_rate": 0.01},
    "conductance": {CELLS + name: value for name, value in DRIFTING.items()},
}
LATER = {"digital.probability_bits", "digital.value_bits"}
"""They act on attention's products, which the plan executed in numbers computes."""


@functools.cache
def model():
    torch.manual_seed(0)
    graph, built = extract_config("tiny", BERT), model_zoo.build("tiny", BERT, empty=False).eval()
    for parameter in built.parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.3)
    scores = {
        path: torch.arange(float(len(layer.weight))) for path, layer in matrices(built).items()
    }
    return built, with_importance(graph, built, scores)


@functools.cache
def computed(changes):
    """What the model computes on a chip of hyflexpim with changes, half of it in SLC."""
    chip = load_chip("hyflexpim", dict(changes))
    built, graph = model()
    (noise,) = noises_of(chip, settings_from({"sigma": ["chip"]}))
    weights = weights_on(chip, graph, Options(slc_rate=0.5))
    with torch.no_grad(), on_chip(built, device_of(chip, noise), 1) as cells:
        cells.protect(masks_of(cells.held, graph, chip, weights))
        return built(torch.arange(6)[None]).last_hidden_state


def others(one, now):
    if one.options:
        return [option for option in one.options if option != now]
    tried = [now * 2, now / 2, now * 10, now + 1, now - 1] if now else [1e-2, 0.3, 3]
    exact = [int(v) if one.whole else v for v in tried]
    return [v for v in dict.fromkeys(exact) if v != now and one.low <= v <= one.high]


def given(one, value):
    bare = one.options or one.unit in ("", "bit", "cycle", "B", "nm")
    return value if bare else f"{value} {one.unit}"


def moves(base, key):
    """Whether a parameter moves the values; None where it is refused."""
    changes = BASES[base]
    chip = load_chip("hyflexpim", changes)
    tried = False
    for value in others(chip.parameters[key], chip[key]):
        change = changes | {key: given(chip.parameters[key], value)}
        try:
            found = computed(tuple(sorted(change.items(), key=str)))
        except (InputError, ModelError):
            continue
        tried = True
        if not torch.equal(found, computed(tuple(sorted(changes.items(), key=str)))):
            return True
    return False if tried else None


def test_each_moves_them_on_some_chip():
    """A parameter may be idle on one chip: bits of cells that neither err nor clip."""
    chip = load_chip("hyflexpim")
    left = {key for key, one in chip.parameters.items() if "values" in one.acts} - LATER
    for base in BASES:
        left -= {key for key in left if moves(base, key)}
    assert left == set()


@pytest.mark.parametrize("key", ["analog.columns", "analog.read_cycle", "analog.adc.rate"])
def test_what_does_not_act_on_values_leaves_them(key):
    chip = load_chip("hyflexpim")
    assert "values" not in chip.parameters[key].acts
    assert moves("sigma", key) is False


def test_what_has_no_effect_is_refused():
    for key, value, line in (
        (
            "drift",
            0.1,
            "analog.cells.drift goes with analog.cells.noise = conductance; it is sigma",
        ),
        (
            *("slc_error_rate", 0.1),
            "analog.cells.slc_error_rate goes with analog.cells.noise = error-rate; it is sigma",
        ),
    ):
        with pytest.raises(InputError) as caught:
            load_chip("hyflexpim", {key: value})
        assert str(caught.value) == f"overrides: {line}"
