"""A training that was interrupted goes on as if it had not been."""

import pickle

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import compress
from hyflexsim.models.lowrank.redistribution import GradientMeter
from hyflexsim.models.saver import Progress, Saver
from hyflexsim.models.training import fine_tune

STEPS = 5  # an epoch


class StoppedError(Exception):
    """The interruption."""


class ByEpoch:
    """Batches whose order depends on the epoch alone."""

    def __init__(self, x, y):
        self.x, self.y, self.epoch = x, y, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return STEPS

    def __iter__(self):
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(self.epoch))
        return iter([(self.x[at], self.y[at]) for at in order.chunk(STEPS)])


def loader(x, y):
    """Its iterator draws the order from torch's global generator."""
    return DataLoader(TensorDataset(x, y), batch_size=len(x) // STEPS, shuffle=True)


@pytest.fixture
def train(new_toy, loss):
    """Train a toy with dropout; returns (weights, losses, meter, random state, steps taken)."""

    def run(make, saver=None, stop=None):
        torch.manual_seed(3)
        model = compress(new_toy(16, 2, 1.0), 4)
        model.embed = nn.Sequential(model.embed, nn.Dropout(0.3))
        x = torch.randn(40, 16)
        meter, taken = GradientMeter(model), []

        def after_step(done, of, value):
            assert of == 2 * STEPS
            taken.append((done, value))
            if done == stop:
                raise StoppedError

        torch.manual_seed(4)
        losses = fine_tune(
            *(model, make(x, x.flip(1)), loss),
            epochs=2,
            lr=1e-2,
            meter=meter,
            saver=saver,
            after_step=after_step,
        )
        return model.state_dict(), losses, meter.importance(), torch.get_rng_state(), taken

    return run


@pytest.mark.parametrize("make", [ByEpoch, loader])
def test_an_interrupted_training_ends_bit_for_bit_like_another(train, make, tmp_path):
    weights, losses, importance, random, taken = train(make)
    path, walked = tmp_path / "state.pt", []
    for stop in (1, 3, STEPS, STEPS + 1, 2 * STEPS):
        with pytest.raises(StoppedError):
            train(make, Saver(path, every_s=0), stop)
        assert path.is_file() is (stop > 1)  # the step that was interrupted was not saved
    got = train(make, Saver(path, every_s=0))
    assert not path.exists()
    walked = got[4]
    assert walked == taken[2 * STEPS - 1 :]  # one step was left to do
    assert got[1] == losses
    assert all(torch.equal(value, weights[name]) for name, value in got[0].items())
    assert torch.equal(got[3], random)
    assert got[2].batches == importance.batches == STEPS
    for mine, theirs in zip(got[2][:2], importance[:2], strict=True):
        assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_dropout_and_order_are_what_the_seed_makes_them(train):
    one, two = train(loader), train(loader)
    assert one[4] == two[4]
    assert train(ByEpoch)[4] != one[4]


def test_nothing_is_written_before_it_is_due(train, tmp_path):
    path = tmp_path / "state.pt"
    with pytest.raises(StoppedError):
        train(ByEpoch, Saver(path, every_s=1e9), 2 * STEPS)
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_the_beginning(tmp_path):
    assert Saver(tmp_path / "none.pt").restore({}) == Progress(0, 0, 0.0, [])


class Malicious:
    """Unpickling it would make a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("broken", ["bytes", "cut", "foreign", "pickle"])
def test_a_broken_state_is_refused_in_one_line(train, tmp_path, broken):
    path, trap = tmp_path / "state.pt", tmp_path / "trap"
    with pytest.raises(StoppedError):
        train(ByEpoch, Saver(path, every_s=0), 4)
    if broken == "bytes":
        path.write_bytes(b"\x80\x04nothing of ours")
    if broken == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    if broken == "foreign":
        state = torch.load(path, weights_only=True)
        state["parts"]["model"].pop("blocks.0.u")
        torch.save(state, path)
    if broken == "pickle":
        path.write_bytes(pickle.dumps(Malicious(trap)))
    with pytest.raises(ModelError) as caught:
        train(ByEpoch, Saver(path, every_s=0))
    assert str(caught.value).startswith(f"{path}: not the state of this training; ")
    assert "\n" not in str(caught.value)
    assert not trap.exists()
