"""Packed codes read back as they were packed, by another way; what does not fit is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hyflexsim.models import packed_files
from hyflexsim.models.errors import ModelError
from hyflexsim.models.packed_files import PackedFiles, Packing, unpacked
from tests.models.packing import Matrix, rows_packed, words, write_packed

OFFSET = {"gptq": 1, "gptq_v2": 0, "awq": 0}


def packing(layout, bits, group):
    return Packing("awq" if layout == "awq" else "gptq", bits, max(group, 0), OFFSET[layout])


def test_words_known_on_paper():
    assert words([1, 2, 3, 4, 5, 6, 7, 15], 4) == [0xF7654321 - 2**32]
    # three bits: the eleventh code lies in bits 30, 31 and, its highest bit, in the next word
    codes = [0] * 10 + [6] + [0] * 21
    assert words(codes, 3) == [2 * 2**30 - 2**32, 1, 0]
    assert unpacked(torch.tensor(words(codes, 3), dtype=torch.int32), 3).tolist() == codes


@given(st.sampled_from([2, 3, 4, 8]), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_codes_are_read_as_they_were_packed(bits, times, random):
    codes = np.array([[random.randrange(2**bits) for _ in range(32 * times)] for _ in range(2)])
    assert unpacked(rows_packed(codes, bits), bits).tolist() == codes.tolist()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["gptq", "gptq_v2", "awq"]),
    st.sampled_from([2, 3, 4, 8]),
    st.sampled_from([-1, 8, 32, 64, 96]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_weights_are_exact(tmp_path_factory, layout, bits, group, act_order, seed):
    if layout == "awq":  # which knows nothing else
        bits, act_order = 4, False
    rng = np.random.default_rng(seed)
    made = Matrix(rng, (32, 96), layout, bits=bits, group=group, act_order=act_order)
    folder = tmp_path_factory.mktemp("packed")
    write_packed(folder, {"h": made}, {"h.bias": torch.ones(32)}, {})
    files = PackedFiles(folder, packing(layout, bits, group))
    assert set(files.names) == {"h.weight", "h.bias"}
    assert files.shape("h.weight") == (32, 96)
    weight = files.read("h.weight")
    assert weight.dtype == torch.float32
    assert weight.double().tolist() == made.weight.tolist()
    assert files.read("h.bias").tolist() == [1.0] * 32


def test_a_bias_of_zeros_beside_codes_stands_for_none(tmp_path):
    made = Matrix(np.random.default_rng(0), (8, 32))
    biases = {"h.bias": torch.zeros(8), "g.bias": torch.zeros(8), "f.bias": torch.ones(8)}
    write_packed(tmp_path, {"h": made, "f": made.again()}, biases, {})
    files = PackedFiles(tmp_path, packing("gptq", 4, -1))
    empty = [name for name in files.names if files.is_empty_bias(name)]
    assert empty == ["h.bias"]


def test_groups_without_an_index_follow_one_another(tmp_path):
    made = Matrix(np.random.default_rng(0), (8, 32), group=8)
    del made.tensors["g_idx"]
    write_packed(tmp_path, {"h": made}, {}, {})
    files = PackedFiles(tmp_path, packing("gptq", 4, 8))
    assert files.read("h.weight").double().tolist() == made.weight.tolist()


def test_a_large_matrix_is_unpacked_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_files, "AT_ONCE", 7 * 64)  # seven inputs
    made = Matrix(np.random.default_rng(0), (64, 512), group=64, act_order=True)
    write_packed(tmp_path, {"h": made}, {}, {})
    files = PackedFiles(tmp_path, packing("gptq", 4, 64))
    assert np.array_equal(files.read("h.weight").double().numpy(), made.weight)


@pytest.mark.parametrize("layout", ["gptq", "awq"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("h.qzeros"), "lacks h.qzeros, though it has h.qweight"),
        (lambda t: t.pop("h.scales"), "lacks h.scales, though it has h.qweight"),
        (lambda t: t.update({"h.weight": torch.ones(1)}), "has both h.weight and h.qweight"),
        (
            lambda t: t.update({"h.scales": t["h.scales"][:1]}),
            "h.scales must be (4, 32) of F16 or BF16 or F32, by codes of 4 bits in groups of 8; "
            "got (1, 32) of F16",
        ),
        (lambda t: t.update({"h.qzeros": t["h.qzeros"].long()}), "h.qzeros must be (4, 4) of I32"),
        (lambda t: t.update({"h.qweight": t["h.qweight"].long()}), "h.qweight must be a matrix of"),
        (lambda t: t.update({"h.qweight": t["h.qweight"][0]}), "h.qweight must be a matrix of I32"),
        (lambda t: t.update({"h.qweight": t["h.qweight"][:0]}), "h.qweight must be a matrix of"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, layout, change, says):
    write_packed(
        tmp_path, {"h": Matrix(np.random.default_rng(0), (32, 32), layout, group=8)}, {}, {}
    )
    tensors = load_file(tmp_path / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelError) as caught:
        PackedFiles(tmp_path, packing(layout, 4, 8))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_groups_that_are_none_and_codes_that_fill_no_word(tmp_path):
    made = Matrix(np.random.default_rng(0), (32, 32), group=8)
    made.tensors["g_idx"][3] = 4
    write_packed(tmp_path, {"h": made}, {}, {})
    files = PackedFiles(tmp_path, packing("gptq", 4, 8))
    with pytest.raises(ModelError, match=r"h.g_idx must hold groups from 0 to 3; got 4"):
        files.read("h.weight")
    with pytest.raises(ModelError, match=r"rows and columns that fill words with codes of 3 bits"):
        PackedFiles(tmp_path, packing("gptq", 3, 8))


def test_weights_that_are_not_packed_are_refused(tmp_path):
    save_file({"a.weight": torch.zeros(4, 4)}, tmp_path / "model.safetensors")
    with pytest.raises(
        ModelError, match=r"must hold packed tensors \(qweight\), since config.json"
    ):
        PackedFiles(tmp_path, Packing("gptq", 4, 16))
