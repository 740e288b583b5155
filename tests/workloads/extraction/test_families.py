"""Every family of the table: parameters and work are torch's own, attention in closed form.

torch counts what its plain attention multiplies, masked or not; so a product of attention is put
to all keys that there are before it is compared, and the keys that it really looks at are counted
one by one beside that.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from hyflexsim.sim import graph as vocabulary
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.extract import extract_config
from hyflexsim.workloads.extraction.families import FAMILIES
from hyflexsim.workloads.extraction.unreached import SEGMENTS, TRAINING

LENGTHS = ((7, 11), (20, 13))  # tokens, and tokens of an encoder beside a decoder
LEFT_OUT = (*TRAINING, *SEGMENTS)
AT_TABLE = ("table", "gemv")
SERVED = [name for name, family in FAMILIES.items() if family.state != "refused"]


@pytest.fixture(scope="module")
def opened():
    made = {}

    def get(name, size):
        if (name, size) not in made:
            config = FAMILIES[name].configs[size]
            # which experts run depends on values: a loop that knows no tensors without them
            experts = any("expert" in key for key in config)
            looks = name in ("deberta-v2", "xlnet")  # for padding; powers of a number
            model = model_zoo.build(name, dict(config), empty=not (experts or looks))
            made[name, size] = extract_config(name, config, cache=False), model
        return made[name, size]

    return get


def convolution_flops(x, w, bias, stride, padding, dilation, transposed, *_, out_shape, **__):
    groups = _[1]
    return 0 if groups > 1 else conv_flop_count(x, w, out_shape, transposed=transposed)


def torch_macs(model, inputs):
    """Multiply-accumulates that torch counts; convolutions of one channel each are element-wise."""
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution: convolution_flops}
    )
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    model.requires_grad_(False)
    with counter, torch.no_grad():
        device = next(model.parameters()).device
        model(**{key: torch.zeros_like(x, device=device) for key, x in inputs.items()})
    counts = counter.get_flop_counts()["Global"]
    if "Mamba2" in type(model).__name__:  # its scan is written in chunks, whose products are others
        del counts[torch.ops.aten.bmm]
    return sum(counts.values()) // 2


def inputs_of(graph, model, tokens, source):
    def ids(count):
        return torch.zeros(1, count, dtype=torch.int64, device="meta")

    if graph.graph.get("source_fixed"):
        width = graph.nodes["input_features"]["width"]
        sound = torch.zeros(1, width, 2 * graph.graph["source"], device="meta")
        return {"input_features": sound, "decoder_input_ids": ids(tokens)}
    if "tokens" in graph.graph:
        side = model.config.image_size
        return {"pixel_values": torch.zeros(1, 3, side, side, device="meta")}
    if "source" in graph.graph:
        return {"input_ids": ids(source), "decoder_input_ids": ids(tokens)}
    return {"input_ids": ids(tokens)}


def square(n, tokens, wide, side):
    """Tokens in the same square of an image as token n."""
    rows, columns = divmod(n, wide)
    return [
        m
        for m in range(tokens)
        if (m // wide // side, m % wide // side) == (rows // side, columns // side)
    ]


def looked_at(op, tokens, source):
    """Keys that each run of an op looks at, one by one."""
    runs = vocabulary.token_count(op, tokens)
    last = runs - 1
    sizes = {
        "all": lambda n: tokens + op["context_extra"],
        "source": lambda n: op["context_extra"],
        "table": lambda n: op["context_extra"],
        "square": lambda n: len(square(n, runs, op["wide"], op["side"])),
        "prefix": lambda n: n + 1 + op["context_extra"],
        "window": lambda n: len(range(max(0, n - op["behind"]), min(last, n + op["ahead"]) + 1)),
    }
    return sum(sizes[op["context"]](n) for n in range(runs))


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", SERVED)
def test_parameters_and_work_are_torchs(opened, name, size):
    free, model = opened(name, size)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    trained = [size for name, size in sizes.items() if any(fnmatchcase(name, t) for t in LEFT_OUT)]
    assert vocabulary.parameters(free) == sum(sizes.values()) - sum(trained)
    assert free.graph["unused_parameters"] == sum(trained)
    for length, other in LENGTHS:
        tokens = free.graph.get("tokens", length)
        source = free.graph["source"] if free.graph.get("source_fixed") else other
        graph = vocabulary.with_source(free, source) if "source" in free.graph else free
        macs = vocabulary.macs(graph, tokens)
        whole = dict(macs)
        for op_name, op in graph.nodes(data=True):
            if op["kind"] == "scan":  # of its three products torch counts the read-out alone
                runs = vocabulary.token_count(op, tokens)
                assert macs[op_name] == 3 * op["channels"] * op["state"] * runs
                written = name in ("mamba2", "rwkv")  # in products that are counted otherwise
                read_out = 0 if written else op["channels"] * op["state"]
                whole[op_name] = read_out * runs
            if op["kind"] != "matmul":
                continue
            runs = vocabulary.token_count(op, tokens)
            keys = {"all": tokens + op["context_extra"]}.get(op["context"], runs)
            keys = op["context_extra"] if op["context"] in vocabulary.FIXED else keys
            whole[op_name] = vocabulary.unit_macs(op) * runs * keys
            looked = looked_at(op, tokens, source)
            assert macs[op_name] == vocabulary.unit_macs(op) * looked, op_name
        assert sum(whole.values()) == torch_macs(model, inputs_of(graph, model, tokens, source))


@pytest.mark.parametrize("size", [0, 1])
def test_windows_of_an_image_and_merged_patches(opened, size):
    """Windows of 4 x 4 tokens; the first waits for its last row, one that is shifted for all; a
    stage has a quarter of the tokens of the one before."""
    graph, model = opened("swin", size)
    config, tokens = model.config, graph.graph["tokens"]
    wide = config.image_size // config.patch_size
    assert tokens == wide**2
    for name, op in graph.nodes(data=True):
        if op["kind"] == "matmul":
            _, _, stage, _, block, *_ = name.split(".")
            assert (op["side"], op["wide"]) == (4, wide >> int(stage))
            assert vocabulary.token_count(op, tokens) == tokens >> 2 * int(stage)
            shifted = block == "1" and op["wide"] > 4
            rules = [rule for *_, rule in graph.in_edges(name, data="rule")]
            assert rules == ["stream", "all" if shifted else "square"]
    merged = graph.nodes["encoder.layers.0.downsample.norm"]
    assert (merged["side"], merged["wide"], merged["width"]) == (2, wide, 4 * config.embed_dim)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        (
            {"image_size": 20},
            "module 'swin.encoder.layers.0.blocks.0': operator aten.pad.default is outside",
        ),
        (
            {"image_size": 6, "window_size": 1},
            "module 'swin.encoder.layers.0.downsample': operator aten.pad.default is outside",
        ),
    ],
)
def test_windows_and_patches_that_must_be_filled_up_are_refused(changes, refused):
    with pytest.raises(InputError) as caught:
        extract_config("swin", FAMILIES["swin"].configs[0] | changes, cache=False)
    assert str(caught.value).startswith(f"swin: {refused}")


@pytest.mark.parametrize("size", [0, 1])
def test_distances_are_a_product_with_each_row_of_their_table(opened, size):
    """Content to position and position to content: N x 2 buckets x width each, and in every layer
    the table through two projections; a mask of no padding and scales are no ops."""
    graph, model = opened("deberta-v2", size)
    config = model.config
    rows, width, N = 2 * config.position_buckets, config.hidden_size, 20
    macs = vocabulary.macs(graph, N)
    products = [n for n in graph if ".distances" in n]
    assert len(products) == 2 * config.num_hidden_layers
    assert {macs[name] for name in products} == {N * rows * width}
    own = [macs[n] for n, op in graph.nodes(data=True) if (op["axis"], op["kind"]) == AT_TABLE]
    assert own == [rows * width**2] * 2 * config.num_hidden_layers
    sums = [n for n, op in graph.nodes(data=True) if op["kind"] == "pointwise" and op["context"]]
    assert len(sums) == 2 * config.num_hidden_layers  # of both terms, and with the scores
    assert graph.graph["notes"] == []


@pytest.mark.parametrize("size", [0, 1])
def test_two_distances_a_token(opened, size):
    """XLNet: 2 N rows of sines through one matrix, N x 2 N products of them, one sum a key."""
    graph, model = opened("xlnet", size)
    width, layers, N = model.config.d_model, model.config.n_layer, 20
    macs, nodes = vocabulary.macs(graph, N), graph.nodes(data=True)
    assert sum(macs[name] for name in graph if ".distances" in name) == 2 * N * N * width * layers
    rows = [n for n, op in nodes if op.get("weight", "").endswith("rel_attn.r")]
    assert sum(macs[name] for name in rows) == 2 * N * width**2 * layers
    sums = [op for _, op in nodes if op["kind"] == "pointwise" and op["context"]]
    assert [op["elements"] for op in sums] == [model.config.n_head] * layers
    (note,) = graph.graph["notes"]
    unused = layers * 3 * width + width  # r_s_bias, seg_embed; mask_emb
    assert note.startswith(f"{unused:,} of ")


@pytest.mark.parametrize("changes", [{"attn_type": "uni"}, {"bi_data": True}], ids=str)
def test_other_attention_of_xlnet_is_refused(changes):
    with pytest.raises(InputError) as caught:
        extract_config("xlnet", FAMILIES["xlnet"].configs[0] | changes, cache=False)
    assert str(caught.value).startswith(
        "xlnet: XLNetModel: attn_type must be 'bi' and bi_data false; got "
    )


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in SERVED])
def test_what_is_refused_is_refused_by_name(name):
    for config in FAMILIES[name].configs:
        with pytest.raises(InputError) as caught:
            extract_config(name, config, cache=False)
        assert str(caught.value).startswith(f"{name}: {FAMILIES[name].says}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mistral", "gemma3_text", "modernbert"])
def test_windows_are_those_of_the_configuration(opened, name):
    """Sum of min(n + 1, w) where the model is causal; w / 2 to both sides where it is not."""
    for size in (0, 1):
        graph, model = opened(name, size)
        config = model.config
        spans = []
        for kind in (
            config.layer_types if hasattr(config, "layer_types") else ["sliding_attention"] * 9
        ):
            reach = config.sliding_window - (name != "modernbert")
            spans.append(reach if kind == "sliding_attention" else 10**6)
        N = 20
        for op_name, op in graph.nodes(data=True):
            if op["kind"] != "matmul":
                continue
            reach = spans[int(op["layer"].rsplit(".", 1)[-1])]
            ahead = reach if name == "modernbert" else 0
            looked = sum(min(n, reach) + 1 + min(ahead, N - 1 - n) for n in range(N))
            assert vocabulary.context_sum(op, N) == looked, op_name


def test_an_architecture_of_another_family_is_named():
    config = FAMILIES["mistral"].configs[0] | {"architectures": ["GPT2LMHeadModel"]}
    message = "m: architectures must be of model_type 'mistral'; GPT2LMHeadModel is of 'gpt2'"
    with pytest.raises(InputError, match=f"^{message}$"):
        model_zoo.build("m", config)
