import pytest
import torch

from hyflexsim.models.errors import ModelError
from hyflexsim.models.precision import PRECISIONS, matrix_products


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_holds_within_the_block_only(precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    with pytest.raises(KeyError), matrix_products(precision):
        assert torch.get_float32_matmul_precision() == PRECISIONS[precision]
        raise KeyError
    assert torch.get_float32_matmul_precision() == before


def test_float32_products_within_a_bfloat16_block_are_exact() -> None:
    # 4095 takes 12 bits, so bfloat16 would make 4096 of it
    codes = torch.full((64, 64), 4095.0)
    with matrix_products("bfloat16"), matrix_products("float32"):
        assert bool((codes @ torch.eye(64) == codes).all())


def test_bfloat16_rounds_operands_to_eight_bits_or_not_at_all() -> None:
    a = torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
    with matrix_products("bfloat16"):
        rounded = a @ a.T
    exact = a.double() @ a.T.double()
    bound = 2.0**-7 * (a.abs().double() @ a.T.abs().double())  # two operands, 2^-8 each
    assert bool(((rounded - exact).abs() <= bound).all())


def test_unknown_precision_is_refused() -> None:
    with (
        pytest.raises(ModelError, match="precision must be float32 or bfloat16; got 'half'"),
        matrix_products("half"),
    ):
        pass
