"""The bound: parts cover the model, energy adds up, a model without pairs saves none."""

import pytest

from hyflexsim.sim import energy
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.sparsity.bound import CASES, Case, bound
from hyflexsim.workloads.sparsity.parts import ATTENTION, PAIRS, PARTS, part_of, steps_of

SMALL = next(case for case in CASES if case.model == "part-small" and case.tokens == 30)


@pytest.fixture(scope="module")
def small():
    return prepare(SMALL.scenario(), SMALL.graph())


def test_each_part_is_somewhere(small):
    found = {part_of(small.graph, step) for step in small.plan.steps}
    assert found == set(PARTS)
    names = {small.plan.steps[i].name for i in steps_of(small.graph, small.plan, ("softmax",))}
    assert {"blocks.0.attn.add", "blocks.0.attn.softmax", "cls_blocks.0.attn.softmax"} <= names
    pairs = steps_of(small.graph, small.plan, (PAIRS,))
    assert {small.plan.steps[i].axis for i in pairs} == {"pair"}


def test_energy_adds_up_to_that_of_a_request(small):
    rows = {row["what"]: row for row in bound(SMALL)}
    whole = energy.request_energy_pj(small.plan, shape_of(small.plan, 30), small.chip, "action")
    assert rows["all"]["energy"] * 1e3 == pytest.approx(whole)
    parts = sum(rows[part]["energy"] for part in PARTS if part in rows)
    assert 0 < parts < 1  # the rest of the model
    attention = sum(rows[part]["energy"] for part in ATTENTION)
    assert rows["attention"]["energy"] == pytest.approx(attention)
    both = attention + rows["pairs"]["energy"]
    assert rows["attention and pairs"]["energy"] == pytest.approx(both)


def test_a_generated_token_of_text_has_no_pairs_and_no_pace(tmp_path):
    tiny = tmp_path / "config.json"
    tiny.write_text(
        '{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 64,'
        ' "hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 64,'
        ' "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}'
    )
    short, long = (bound(Case("tiny", str(tiny), n, decode=True)) for n in (8, 40))
    assert "pairs" not in {row["what"] for row in short}
    assert all(row["pace"] != row["pace"] for row in short)
    share = {row["what"]: row["energy"] for row in short}
    longer = {row["what"]: row["energy"] for row in long}
    assert longer["attention"] > share["attention"]  # more keys to look at, all else alike
    assert share["operand writes"] > longer["operand writes"] > 0
