"""LoRA adapters merged: W + s B A in closed form, also of a transposed layer, or refused."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from hyflexsim.models.lowrank.checkpoint import read_ranks
from hyflexsim.models.lowrank.compress import linear_targets
from hyflexsim.models.tensor_files import TensorFiles
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import Scenario, simulate
from hyflexsim.workloads.compression.judged_models import open_model
from hyflexsim.workloads.compression.lora import Adapter
from hyflexsim.workloads.compression.own_names import OwnWeights
from hyflexsim.workloads.compression.own_weights import compress_folder
from hyflexsim.workloads.compression.recipe import Compress
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.values import execute

GPT2 = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": 20,
    "n_positions": 8,
    "n_embd": 8,
    "n_layer": 1,
    "n_head": 2,
}
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "bias": "none", "fan_in_fan_out": True}
ATTENTION, MLP = "transformer.h.0.attn.c_attn", "transformer.h.0.mlp.c_proj"


@pytest.fixture
def base(tmp_path):
    """(model, folder) of a tiny GPT-2, whose matrices lie transposed."""
    torch.manual_seed(0)
    model = model_zoo.build("base", GPT2, empty=False)
    model.save_pretrained(tmp_path / "base")
    return model, tmp_path / "base"


@pytest.fixture
def lora(tmp_path):
    """Write an adapter folder; returns it."""

    def write(config=CONFIG, **tensors):
        folder = tmp_path / "lora"
        folder.mkdir(exist_ok=True)
        shapes = {ATTENTION: (24, 8), MLP: (8, 32)}
        torch.manual_seed(1)
        made = {
            f"base_model.model.{path}.lora_{which}.weight": torch.randn(*size)
            for path, (n, m) in shapes.items()
            for which, size in (("A", (2, m)), ("B", (n, 2)))
        }
        save_file(made | tensors, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return folder

    return write


def merged(base, folder):
    model = model_zoo.build("base", GPT2)
    files = TensorFiles(base)
    return OwnWeights(model, files, linear_targets(model), adapter=Adapter(folder))


@pytest.mark.parametrize(
    ("more", "scale"),
    [
        ({}, {ATTENTION: 3, MLP: 3}),
        ({"use_rslora": True}, {ATTENTION: 6 / math.sqrt(2), MLP: 6 / math.sqrt(2)}),
        ({"alpha_pattern": {"mlp.c_proj": 1}}, {ATTENTION: 3, MLP: 0.5}),
    ],
)
def test_weights_get_b_a_times_a_scale(base, lora, more, scale):
    model, folder = base
    adapter = lora(CONFIG | more)
    weights = merged(folder, adapter)
    tensors = TensorFiles(adapter, "adapter_model.safetensors")
    for name, value in model.state_dict().items():
        path = name.removesuffix(".weight")
        if name in weights.tied:
            continue
        expected = value
        if path in scale:
            a, b = (
                tensors.read(f"base_model.model.{path}.lora_{which}.weight").double()
                for which in "AB"
            )
            expected = (value.double() + scale[path] * (b @ a).T).float()
        assert torch.equal(weights.read(name), expected)


# -- kept -----------------------------------------------------------------------------------------

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "tie_word_embeddings": True,
    "max_position_embeddings": 64,
}
Q, UP = "model.layers.1.self_attn.q_proj", "model.layers.0.mlp.up_proj"


@pytest.fixture
def kept(tmp_path):
    """(model with its changes merged, folder, adapter): one matrix of each layer is changed."""
    torch.manual_seed(0)
    model = model_zoo.build("llama", LLAMA, empty=False)
    for p in model.parameters():
        if p.dim() == 2:
            torch.nn.init.normal_(p, std=0.15)
    model.save_pretrained(tmp_path / "llama")
    (tmp_path / "llama" / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "lora").mkdir()
    tensors = {}
    for path, scale in ((Q, 3), (UP, 3)):
        weight = model.get_submodule(path).weight
        n, m = weight.shape
        a, b = torch.randn(2, m) / 4, torch.randn(n, 2) / 4
        tensors |= {f"base_model.model.{path}.lora_A.weight": a.contiguous()}
        tensors |= {f"base_model.model.{path}.lora_B.weight": b.contiguous()}
        with torch.no_grad():
            weight.add_(scale * b @ a)
    save_file(tensors, tmp_path / "lora" / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "bias": "none"}
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(config))
    return model, tmp_path / "llama", tmp_path / "lora"


def kept_beside(kept, out, how=None):
    _, folder, adapter = kept
    return compress_folder(folder, out, how, adapter=adapter, keep_adapter=True)


def scenario_of(out, **run):
    model, tokens = {"checkpoint": str(out)}, {"kind": "tokens", "tokens": 6, "requests": 1}
    content = {"name": "kept", "model": model, "workload": tokens, "run": run}
    return Scenario.model_validate(content)


def test_a_kept_change_computes_as_a_merged_one(kept, tmp_path):
    about = kept_beside(kept, tmp_path / "out", Compress(exclude=["*"]))
    assert about["origin"] == "folder llama with lora kept"
    assert about["kept"] == {}
    assert read_ranks(tmp_path / "out")["adapted"] == {UP: 2, Q: 2}
    made = TensorFiles(tmp_path / "out")
    assert made.shape(f"{Q}.down.weight") == (2, 32)
    assert made.shape(f"{Q}.up.weight") == (32, 2)
    tokens = torch.tensor([[1, 5, 2, 7, 3]])
    with torch.no_grad():
        logits = open_model(tmp_path / "out")(tokens).logits
        assert torch.allclose(logits, kept[0](tokens).logits, atol=1e-4)


def test_what_is_not_changed_is_factorised_as_without(kept, tmp_path):
    how = Compress(method="uniform", budget=0.6, round=4)
    kept_beside(kept, tmp_path / "out", how)
    compress_folder(kept[1], tmp_path / "plain", how.model_copy(update={"exclude": [Q, UP]}))
    layers = [read_ranks(tmp_path / name)["layers"] for name in ("out", "plain")]
    assert layers[0] == layers[1]
    assert len(layers[0]) == 12
    made, plain = (TensorFiles(tmp_path / name) for name in ("out", "plain"))
    beside = {f"{p}.{part}.weight" for p in (Q, UP) for part in ("base", "down", "up")}
    assert set(made.names) ^ set(plain.names) == beside | {f"{Q}.weight", f"{UP}.weight"}
    assert torch.equal(made.read(f"{Q}.base.weight"), plain.read(f"{Q}.weight"))


def test_kept_changes_are_placed_timed_and_executed(kept, tmp_path):
    how = Compress(exclude=["*k_proj"])
    kept_beside(kept, tmp_path / "out", how)
    results = [simulate(scenario_of(tmp_path / "out", engine=e)) for e in ("simpy", "compiled")]
    rows = {row["weight"]: row for row in results[0].tables["placement"]}
    for path, (n, m) in {Q: (32, 32), UP: (64, 32)}.items():
        op = path.removeprefix("model.")
        shapes = {"base": (m, n), "down": (m, 2), "up": (2, n)}
        for part, shape in shapes.items():
            row = rows[f"{op}.{part}.weight"]
            assert (row["rows"], row["cols"], row["rank"]) == (*shape, -1)
    assert rows["layers.0.self_attn.q_proj.weight"]["rank"] == 16
    assert results[0].summary["latency_ps"] == results[1].summary["latency_ps"]
    energies = [r.summary["energy_per_request_pj"] for r in results]
    assert energies[0] == energies[1]


def test_kept_changes_cost_two_products_more(kept, tmp_path):
    kept_beside(kept, tmp_path / "out", Compress(exclude=["*"]))
    scenario = scenario_of(tmp_path / "out")
    beside = simulate(scenario).summary
    model = scenario.model.model_copy(update={"checkpoint": None, "name": str(kept[1])})
    plain = simulate(scenario.model_copy(update={"model": model})).summary
    work = 6 * sum(2 * (n + m) for n, m in ((32, 32), (64, 32)))  # six tokens, rank 2
    assert beside["macs"] == plain["macs"] + work
    assert beside["makespan_ps"] > plain["makespan_ps"]
    assert beside["energy_per_request_pj"] > plain["energy_per_request_pj"]


def test_a_change_of_a_weight_that_other_code_reads_is_merged(tmp_path):
    config = {"model_type": "mamba", "architectures": ["MambaForCausalLM"], "vocab_size": 20}
    config |= {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4, "time_step_rank": 4}
    torch.manual_seed(0)
    model_zoo.build("mamba", config, empty=False).save_pretrained(tmp_path / "mamba")
    (tmp_path / "mamba" / "config.json").write_text(json.dumps(config))
    name = "base_model.model.backbone.layers.0.mixer.dt_proj.lora_"
    tensors = {f"{name}A.weight": torch.ones(1, 4), f"{name}B.weight": torch.ones(32, 1)}
    (tmp_path / "lora").mkdir()
    save_file(tensors, tmp_path / "lora" / "adapter_model.safetensors")
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(CONFIG | {"r": 1}))
    folders = (tmp_path / "mamba", tmp_path / "out")
    with pytest.raises(InputError, match=r"mixer.dt_proj is read as a weight, without its change"):
        compress_folder(*folders, adapter=tmp_path / "lora", keep_adapter=True)
    assert compress_folder(*folders, adapter=tmp_path / "lora")["kept"]


@pytest.mark.parametrize("cells", ["ideal", "converters"])
def test_kept_changes_in_numbers(kept, tmp_path, cells):
    kept_beside(kept, tmp_path / "out")
    done = execute(scenario_of(tmp_path / "out"), cells=cells)
    assert done.unequal() == []
    ops = {row.op for row in done.rows}
    parts = ("base", "down", "up", "add")
    assert {f"layers.1.self_attn.q_proj.{part}" for part in parts} <= ops


def test_a_merged_model_is_compressed(base, lora, tmp_path):
    about = compress_folder(base[1], tmp_path / "out", adapter=lora())
    assert about["origin"] == "folder base with lora merged"
    with pytest.raises(InputError, match=r"holds changes to another model.*; give that model's"):
        compress_folder(lora(), tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "tensors", "says"),
    [
        ({"peft_type": "IA3"}, {}, 'peft_type must be "LORA"; got'),
        ({"use_dora": True}, {}, "use_dora must be null or false; got"),
        ({"bias": "all"}, {}, 'bias must be null or "none"; got'),
        ({"modules_to_save": ["lm_head"]}, {}, "modules_to_save must be null or []; got"),
        ({"lora_alpha": "x"}, {}, "lora_alpha must be a finite number; got"),
        ({"alpha_pattern": {"(": 1}}, {}, "alpha_pattern must be an object of numbers by pattern"),
        ({"alpha_pattern": [1]}, {}, "alpha_pattern must be an object of numbers by pattern"),
        ({}, {"more": torch.ones(2)}, "must hold lora_A.weight and lora_B.weight of matrices"),
        (
            {},
            {"h.lora_A.weight": torch.ones(2), "h.lora_B.weight": torch.ones(2)},
            "h.lora_A.weight and h.lora_B.weight must be matrices; got ((2,), (2,))",
        ),
        ({}, {"h.lora_A.weight": torch.ones(2, 2)}, "lacks h.lora_B.weight, though it has"),
        (
            {},
            {"h.lora_A.weight": torch.ones(2, 2), "h.lora_B.weight": torch.ones(2, 2)},
            "changes h, which is no dense matrix of GPT2LMHeadModel alone",
        ),
        (
            {},
            {f"base_model.model.{MLP}.lora_A.weight": torch.ones(2, 31)},
            f"lora_A and lora_B of {MLP} must be (r, 32) and (8, r); got (2, 31) and (8, 2)",
        ),
    ],
)
def test_refusals(base, lora, change, tensors, says):
    with pytest.raises(InputError) as caught:
        merged(base[1], lora(CONFIG | change, **tensors))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lora_alpha": math.nan}, "lora_alpha must be a finite number; got nan"),
        ({"alpha_pattern": {"c_attn": math.inf}}, "lora_alpha must be a finite number; got inf"),
        ({"r": 8}, f"r of {ATTENTION} must be 2, as "),
        ({"r": 0}, f"r of {ATTENTION} must be 2, as "),
        ({"rank_pattern": {"c_proj": 4}}, f"r of {MLP} must be 2, as "),
    ],
)
def test_scales_and_ranks_that_do_not_fit_are_refused(lora, config, message):
    with pytest.raises(InputError, match=message):
        Adapter(lora(CONFIG | config))
