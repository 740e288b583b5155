"""A folder of weights, factorised from its file: as in memory, resumable, read and run again."""

import copy
import json
import weakref

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import load_compressed, read_ranks
from hyflexsim.models.lowrank.layers import linear_weight
from hyflexsim.models.lowrank.rank_baselines import baseline_ranks
from hyflexsim.models.lowrank.rank_learning import budget_of
from hyflexsim.models.tensor_files import INDEX_FILE, TensorFiles
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads import Scenario, simulate
from hyflexsim.workloads.compression import own_weights
from hyflexsim.workloads.compression.judged_models import open_checkpoint, open_model
from hyflexsim.workloads.compression.name_mapping import Mapping
from hyflexsim.workloads.compression.own_weights import compress_folder
from hyflexsim.workloads.compression.recipe import Compress
from hyflexsim.workloads.extraction import model_zoo
from tests.models.packing import Matrix, write_packed

SMALL = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "tie_word_embeddings": True,
    "max_position_embeddings": 64,
} | SMALL
BERT = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "intermediate_size": 64,
    "num_labels": 3,
} | SMALL
GPT2 = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": 40,
    "n_positions": 64,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
}
FAMILIES = {"llama": LLAMA, "bert": BERT, "gpt2": GPT2}
TOKENS = torch.tensor([[1, 5, 2, 7, 3]])


def written(folder, config):
    """A random model and its folder, as transformers writes it: in shards, with an index."""
    torch.manual_seed(0)
    model = model_zoo.build("made", config, empty=False).double()
    for p in model.parameters():
        if p.dim() == 2:
            torch.nn.init.normal_(p, std=0.15)
    model.save_pretrained(folder, max_shard_size="40KB")
    (folder / "config.json").write_text(json.dumps(config))
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(model, folder) by family. Do not change them."""
    made = {}
    for name, config in FAMILIES.items():
        folder = tmp_path_factory.mktemp("models") / name
        made[name] = (written(folder, config), folder)
        assert (folder / INDEX_FILE).is_file()
        assert len(TensorFiles(folder).files) > 1
    return made


@pytest.fixture
def llama(models, tmp_path):
    """A folder of one's own to spoil: a single file."""
    folder = tmp_path / "llama"
    folder.mkdir()
    files = TensorFiles(models["llama"][1])
    save_file({name: files.read(name) for name in files.names}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(LLAMA))
    return folder


def opened(folder, family):
    """The compressed model, in double precision as its weights."""
    return load_compressed(model_zoo.build("x", FAMILIES[family], empty=False).double(), folder)


def spoilt(folder, change):
    """The folder with other tensors."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    return folder


def weights_of(model):
    """W (n, m) by path of a matrix."""
    return {
        path: linear_weight(part)
        for target in low_rank.linear_targets(model)
        for path, part in zip(target.matrices(), low_rank.split_layer(target), strict=True)
    }


def refused(folder, out, *args, **options):
    with pytest.raises(ValueError) as caught:
        compress_folder(folder, out, *args, **options)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    assert not out.with_name(f"{out.name}.work").exists()
    return str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["hard-threshold", "uniform", "energy", "global"])
def test_from_the_file_as_in_memory(models, tmp_path, family, method):
    model, folder = models[family]
    how = Compress(method=method, budget=0.6)
    about = compress_folder(folder, tmp_path / "out", how)
    here = copy.deepcopy(model)
    if method == "hard-threshold":
        low_rank.compress(here, method)
    else:
        ranks = baseline_ranks(here, budget_of(here, 0.6), method)
        low_rank.compress(here, ranks)
    again = opened(tmp_path / "out", family)
    assert low_rank.ranks(again) == low_rank.ranks(here)
    assert about["counts"] == low_rank.counts(here)._asdict()
    with torch.no_grad():
        assert torch.allclose(again(TOKENS).logits, here(TOKENS).logits, atol=1e-9)
    layers, dense = low_rank.low_rank_layers(here), weights_of(model)
    assert set(about["kept"]) == set(layers)
    for path, layer in layers.items():
        part = low_rank.low_rank_layers(again)[path]
        assert torch.allclose(part.weight, layer.weight, atol=1e-10)
        kept = layer.weight.square().sum() / dense[path].square().sum()
        assert about["kept"][path] == pytest.approx(kept.item(), abs=1e-6)


def test_an_interrupted_job_goes_on_and_ends_alike(models, tmp_path, monkeypatch):
    _, folder = models["llama"]
    how = Compress(method="energy")
    compress_folder(folder, tmp_path / "whole", how)
    done = []

    def until(number):
        def factors(weight, rank):
            if len(done) == number:
                raise KeyboardInterrupt
            done.append(rank)
            return gram(weight, rank)

        return factors

    gram = own_weights.gram_svd
    monkeypatch.setattr(own_weights, "gram_svd", until(5))
    with pytest.raises(KeyboardInterrupt):
        compress_folder(folder, tmp_path / "out", how)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=r"another compress.method; finish that one"):
        compress_folder(folder, tmp_path / "out")
    monkeypatch.setattr(own_weights, "gram_svd", until(14))  # two layers of seven
    compress_folder(folder, tmp_path / "out", how)
    assert len(done) == 14
    assert not (tmp_path / "out.work").exists()
    for file in (tmp_path / "whole").iterdir():
        if file.name != "host.json":
            assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes()


def test_layers_at_once_give_the_same_files(models, tmp_path):
    before = torch.get_num_threads()
    for threads in (1, 3):
        compress_folder(models["gpt2"][1], tmp_path / str(threads), threads=threads)
    assert torch.get_num_threads() == before
    names = {file.name for file in (tmp_path / "1").iterdir()} - {"host.json"}
    assert len(names) > 3
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_a_failure_in_one_thread_ends_the_job(llama, tmp_path):
    name = "model.layers.1.mlp.gate_proj.weight"
    spoilt(llama, lambda tensors: tensors[name][0].fill_(float("inf")))
    with pytest.raises(ModelError, match=rf"{name} must be finite"):
        compress_folder(llama, tmp_path / "out", threads=3)
    assert not (tmp_path / "out").exists()


def test_a_tensor_is_in_memory_for_as_long_as_it_is_needed(models, tmp_path, monkeypatch):
    alive = []
    read = TensorFiles.read

    def counted(files, name):
        tensor = read(files, name)
        alive.append(sum(ref() is not None for ref in held))
        if name.endswith("proj.weight"):
            held.append(weakref.ref(tensor))
        return tensor

    held = []
    monkeypatch.setattr(TensorFiles, "read", counted)
    compress_folder(models["llama"][1], tmp_path / "out")
    assert len(held) == 14
    assert max(alive) <= 1


def test_16_bits_stay_16_bits(llama, tmp_path):
    tensors = load_file(llama / "model.safetensors")
    half = {name: t.to(torch.bfloat16) for name, t in tensors.items()}
    save_file(half, llama / "model.safetensors")
    compress_folder(llama, tmp_path / "out")
    made = TensorFiles(tmp_path / "out")
    assert {made.read(name).dtype for name in made.names} == {torch.bfloat16}
    layer = low_rank.low_rank_layers(open_model(tmp_path / "out"))["model.layers.0.mlp.up_proj"]
    w = half["model.layers.0.mlp.up_proj.weight"].float()
    best = torch.linalg.svdvals(w)[layer.rank :].square().sum()
    # two factors rounded to 8 bits: 2^-8 of each of the r products, by Cauchy and Schwarz
    assert (layer.weight - w).square().sum().sqrt() <= best.sqrt() + 2**-7 * w.norm()


def test_rounded_ranks_and_what_is_left_dense(models, tmp_path):
    how = Compress(method="global", round=8, exclude=["*down_proj"])
    compress_folder(models["llama"][1], tmp_path / "out", how)
    layers = read_ranks(tmp_path / "out")["layers"]
    assert {layer["rank"] % 8 for layer in layers.values()} == {0}
    assert not any("down_proj" in path for path in layers)
    assert read_ranks(tmp_path / "out")["tied"] == {"lm_head.weight": "model.embed_tokens.weight"}


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_the_checkpoint_runs_though_it_has_no_scores(models, tmp_path_factory, tmp_path, engine):
    compress_folder(models["llama"][1], tmp_path / "out", Compress(method="uniform"))
    scenario = Scenario.load(
        "bert-base",
        [
            f"model.checkpoint={tmp_path / 'out'}",
            *("workload.tokens=4", "workload.requests=1", f"run.engine={engine}"),
        ],
    )
    result = simulate(scenario)
    ranks = {row["weight"]: row["rank"] for row in result.tables["placement"]}
    layers = read_ranks(tmp_path / "out")["layers"]
    assert ranks["layers.0.mlp.up_proj.weight"] == layers["model.layers.0.mlp.up_proj"]["rank"]
    assert "accuracy" not in result.summary
    with pytest.raises(InputError, match="has no scores, since it was made of weights alone"):
        open_checkpoint(tmp_path / "out")


# -- one's own format -----------------------------------------------------------------------------

MAPPING = """
[[factors]]
matrix = "model.layers.{layer}.{part}"
u = "blocks.{layer}.{part}.up"
v = { name = "blocks.{layer}.{part}.down", transpose = true, scale = 0.5 }
sigma = "blocks.{layer}.{part}.s"

[[dense]]
parameter = "model.embed_tokens.weight"
name = "table"
transpose = true
scale = 2.0
"""


@pytest.fixture
def own(models, tmp_path):
    """(model, folder, mapping): factors of rank 3 in a format of one's own."""
    model = low_rank.compress(copy.deepcopy(models["llama"][0]), 3)
    folder = tmp_path / "own"
    folder.mkdir()
    tensors = {"table": model.state_dict()["model.embed_tokens.weight"].T.contiguous() / 2}
    for path, layer in low_rank.low_rank_layers(model).items():
        name = path.replace("model.layers", "blocks")
        tensors[f"{name}.up"] = layer.u.detach().clone()
        tensors[f"{name}.down"] = 2 * layer.v.detach().T.contiguous()
        tensors[f"{name}.s"] = layer.sigma.detach().clone()
    for name, value in model.state_dict().items():
        if "norm" in name:
            tensors[name] = value
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "names.toml").write_text(MAPPING)
    return model, folder, Mapping.load(tmp_path / "names.toml")


def test_factors_of_ones_own_format_come_as_they_are(own, tmp_path):
    model, folder, mapping = own
    about = compress_folder(folder, tmp_path / "out", mapping=mapping)
    again = opened(tmp_path / "out", "llama")
    assert {row.rank for row in low_rank.ranks(again)} == {3}
    assert about["kept"] == {}
    assert about["counts"] == low_rank.counts(model)._asdict()
    with torch.no_grad():
        assert torch.allclose(again(TOKENS).logits, model(TOKENS).logits, atol=1e-9)


def test_a_mapping_that_does_not_fit_is_refused(own, tmp_path):
    _, folder, mapping = own
    says = refused(folder, tmp_path / "out")
    assert "lacks model.embed_tokens.weight and 14 more, which LlamaForCausalLM has" in says
    says = refused(folder, tmp_path / "out", Compress(budget=0.5), mapping=mapping)
    assert says == "compress.budget goes with dense weights; factors of a mapping have ranks"
    name = "blocks.0.mlp.up_proj.up"
    spoilt(folder, lambda tensors: tensors.update({name: tensors[name][:, :2].contiguous()}))
    says = refused(folder, tmp_path / "out", mapping=mapping)
    assert "factors of model.layers.0.mlp.up_proj must be u (64, rank), v (32, rank)" in says
    assert says.endswith("got u (64, 2), v (32, 3), sigma (3,)")
    spoilt(folder, lambda tensors: tensors.pop(name))
    says = refused(folder, tmp_path / "out", mapping=mapping)
    assert "lacks model.layers.0.mlp.up_proj.weight, which LlamaForCausalLM has" in says
    other = Mapping.model_validate({"factors": [{"matrix": "h.{i}", "u": "u", "v": "v"}]})
    assert "no entry finds both" in refused(folder, tmp_path / "out", mapping=other)


# -- refusals -------------------------------------------------------------------------------------


def test_names_of_other_writers(llama, tmp_path):
    def bare(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)
        tensors["rotary_emb.inv_freq"] = torch.ones(4)
        tensors["lm_head.weight"] = tensors["embed_tokens.weight"].clone()

    plain = compress_folder(llama, tmp_path / "plain")
    others = compress_folder(spoilt(llama, bare), tmp_path / "others")
    assert others["counts"] == plain["counts"]
    weights = [open_model(tmp_path / name).state_dict() for name in ("plain", "others")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("model.norm.weight"), "lacks model.norm.weight, which LlamaForCausalLM"),
        (lambda t: t.update(more=torch.ones(2)), "has more, which LlamaForCausalLM does not have"),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(31)}),
            "model.norm.weight must have shape (32,), of model.norm.weight in LlamaForCausalLM; "
            "got (31,)",
        ),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(32, dtype=torch.int8)}),
            "model.norm.weight must hold floating-point numbers of 16 bits or more",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(llama, tmp_path, change, says):
    assert says in refused(spoilt(llama, change), tmp_path / "out")


def test_what_is_done_before_a_weight_turns_out_broken_is_kept(llama, tmp_path):
    name = "model.layers.1.mlp.up_proj.weight"
    spoilt(llama, lambda tensors: tensors[name][0].fill_(float("nan")))
    with pytest.raises(ModelError, match=rf"{name} must be finite; it holds NaN or infinity"):
        compress_folder(llama, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / "out.work" / "pieces").iterdir())) == 12


def test_methods_that_need_data_are_refused(llama, tmp_path):
    says = refused(llama, tmp_path / "out", Compress(method="fwsvd"))
    assert "compress.method must be hard-threshold, uniform, energy, global for a folder" in says


# -- codes of few bits ----------------------------------------------------------------------------

HOW = {"gptq": {"desc_act": True}, "awq": {"version": "gemm", "zero_point": True}}


@pytest.fixture(params=HOW)
def quantised(models, request, tmp_path):
    """(model, folder): all matrices of the blocks in codes of four bits, groups of 16 inputs."""
    model, layout = copy.deepcopy(models["llama"][0]).float(), request.param
    rng = np.random.default_rng(0)
    packed = {}
    for path, weight in weights_of(model).items():
        packed[path] = Matrix(
            rng, tuple(weight.shape), layout, group=16, act_order=layout == "gptq"
        )
        with torch.no_grad():
            weight.copy_(torch.tensor(packed[path].weight))
    state = model.state_dict()
    rest = {n: v for n, v in state.items() if n.removesuffix(".weight") not in packed}
    rest = {name: value.clone() for name, value in rest.items() if name != "lm_head.weight"}
    how = {"quant_method": layout, "bits": 4, "group_size": 16} | HOW[layout]
    write_packed(tmp_path / layout, packed, rest, LLAMA | {"quantization_config": how})
    return model, tmp_path / layout


def test_quantised_weights_are_factorised_as_what_they_stand_for(quantised, tmp_path):
    model, folder = quantised
    plain = tmp_path / "plain"
    model.save_pretrained(plain)
    (plain / "config.json").write_text(json.dumps(LLAMA))
    about = compress_folder(folder, tmp_path / "out", Compress(method="energy"))
    expected = compress_folder(plain, tmp_path / "expected", Compress(method="energy"))
    assert about["kept"] == expected["kept"]
    made, same = (TensorFiles(tmp_path / name) for name in ("out", "expected"))
    assert set(made.names) == set(same.names)
    assert all(torch.equal(made.read(name), same.read(name)) for name in made.names)
    scenario = Scenario.load(
        "bert-base",
        [
            f"model.checkpoint={tmp_path / 'out'}",
            *("workload.tokens=4", "workload.requests=1"),
        ],
    )
    notes = simulate(scenario).summary["notes"]
    assert any("weights come from codes of 4 bits" in note for note in notes)


def test_a_bias_beside_codes_that_the_model_lacks(quantised, tmp_path):
    _, folder = quantised
    name = "model.layers.0.mlp.up_proj.bias"
    plain = compress_folder(folder, tmp_path / "plain")
    spoilt(folder, lambda tensors: tensors.update({name: torch.zeros(64)}))
    assert compress_folder(folder, tmp_path / "zeros") == plain
    spoilt(folder, lambda tensors: tensors.update({name: torch.ones(64)}))
    assert f"has {name}, which LlamaForCausalLM does not have" in refused(folder, tmp_path / "out")


def test_broken_codes_are_refused_before_any_work(quantised, tmp_path):
    _, folder = quantised
    name = "model.layers.0.mlp.up_proj.scales"
    spoilt(folder, lambda tensors: tensors.update({name: tensors[name][:, :8].contiguous()}))
    assert f"{name} must be (2, 64) of F16 or BF16 or F32" in refused(folder, tmp_path / "out")
    config = LLAMA | {"quantization_config": {"quant_method": "torchao"}}
    (folder / "config.json").write_text(json.dumps(config))
    assert "weights quantised by 'torchao' are not read" in refused(folder, tmp_path / "out")


def test_tensors_that_a_model_shares_must_be_the_same(tmp_path):
    """tie_word_embeddings, and a head of its own in the file: one of the two would be left out."""
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 20}
    config |= {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": True}
    torch.manual_seed(0)
    model_zoo.build("tied", config, empty=False).save_pretrained(tmp_path / "tied")
    file = tmp_path / "tied" / "model.safetensors"
    tensors = load_file(file)
    embedding = tensors["model.embed_tokens.weight"]
    for head, allowed in ((embedding.clone(), True), (embedding + 1, False)):
        save_file(tensors | {"lm_head.weight": head}, file)
        if allowed:
            compress_folder(tmp_path / "tied", tmp_path / "out", Compress(method="uniform"))
            continue
        message = (
            "lm_head.weight and model.embed_tokens.weight must be equal, since LlamaForCausalLM "
            r"shares them \(tie_word_embeddings of config.json\); they differ$"
        )
        with pytest.raises(InputError, match=message):
            compress_folder(tmp_path / "tied", tmp_path / "other", Compress(method="uniform"))
