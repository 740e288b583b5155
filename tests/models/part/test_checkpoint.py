"""Checkpoints that say what they are, and files that do not."""

import pytest
import torch
from safetensors.torch import save_file

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.checkpoint import PartSpec, load_part, named_spec, save_part
from hyflexsim.models.part.inputs import FEATURES
from hyflexsim.models.part.transformer import PART_CONFIGS

CLASSES = ("QCD", "Tbqq")
RANGES = dict.fromkeys(FEATURES["full"], (-1.0, 1.5))


@pytest.fixture
def spec():
    model = PART_CONFIGS["part-small"] | {"num_classes": 2, "num_layers": 1}
    return PartSpec(model, "full", 32, CLASSES, RANGES)


def test_round_trip(tmp_path, spec):
    torch.manual_seed(3)
    model = spec.build()
    save_part(tmp_path / "model.safetensors", model, spec)
    for path in (tmp_path, tmp_path / "model.safetensors"):
        loaded, found = load_part(path)
        assert found.classes == CLASSES
        assert (found.features, found.particles, found.ranges) == ("full", 32, RANGES)
        assert not loaded.training
        for key, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_file_without_spec_needs_a_name(tmp_path, spec):
    file = tmp_path / "bare.safetensors"
    save_file(spec.build().state_dict(), file)
    with pytest.raises(ModelError) as error:
        load_part(file)
    names = ", ".join(PART_CONFIGS)
    assert str(error.value) == f"{file}: does not say what it holds; name the model, one of {names}"
    assert load_part(file, spec)[1] is spec


def test_full_configuration_loads_and_runs(tmp_path):
    full = named_spec("part-full", CLASSES)
    assert sum(p.numel() for p in full.build().parameters()) == 2_143_486 - 8 * 129
    save_part(tmp_path / "model.safetensors", full.build(), full)
    model, found = load_part(tmp_path)
    assert found == full
    x, v = torch.randn(1, 17, 5), torch.rand(1, 4, 5) + torch.tensor([0, 0, 0, 3.0])[:, None]
    assert model(x, v).shape == (1, 2)


def test_weights_of_another_shape(tmp_path, spec):
    file = tmp_path / "model.safetensors"
    save_file(spec.build().state_dict(), file)
    with pytest.raises(ModelError, match=r"model\.safetensors: lacks key "):
        load_part(file, named_spec("part-small", CLASSES))


def test_damaged_metadata(tmp_path, spec):
    file = tmp_path / "model.safetensors"
    save_file(spec.build().state_dict(), file, metadata={"hyflexsim": '{"format": "x"}'})
    with pytest.raises(ModelError) as error:
        load_part(file)
    assert str(error.value) == f"{file}: not a ParT checkpoint; format must be hyflexsim-part-1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": "all"}, "features must be one of full, kinpid, kin; got 'all'"),
        ({"features": "kin"}, "input_dim must be 7 for features='kin'; got 17"),
        ({"particles": 129}, "particles must be 1 ... 128; got 129"),
        ({"classes": ("QCD",)}, "classes must name num_classes=2 classes; got 1"),
        (
            {"ranges": RANGES | {"charge": (1.0, -1.0)}},
            "ranges.charge must be two numbers; got 1.0, -1.0",
        ),
        (
            {"ranges": {"charge": (-1.0, 1.0)}},
            f"ranges must be of the features {', '.join(FEATURES['full'])}; got charge",
        ),
    ],
)
def test_bad_specs(spec, change, message):
    from dataclasses import replace  # noqa: PLC0415

    with pytest.raises(ModelError) as error:
        replace(spec, **change)
    assert str(error.value) == message


def test_unknown_name():
    with pytest.raises(ModelError, match=r"^model must be one of .*; got 'part'$"):
        named_spec("part", CLASSES)
