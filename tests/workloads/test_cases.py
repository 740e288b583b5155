"""Files and settings as people really have them: the right answer, or one line that helps.

Each case was tried by hand on version 0.3.1, which gave a wrong figure without a word, or a
traceback. The names are those of the list that they were collected in.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.graph import new_graph
from hyflexsim.workloads import simulate
from hyflexsim.workloads.extraction.extract import extract
from hyflexsim.workloads.jets.sample import SAMPLE
from hyflexsim.workloads.run.prepare import load_requests
from hyflexsim.workloads.scenario.scenario import Scenario

LLAMA = {
    **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256},
    **{"num_hidden_layers": 2, "intermediate_size": 512, "num_attention_heads": 8},
    **{"num_key_value_heads": 2, "vocab_size": 1000, "max_position_embeddings": 2048},
    "tie_word_embeddings": False,
}
MISSPELT = {key: value for key, value in LLAMA.items() if key != "num_hidden_layers"}
PART = {"model_type": "part", "input_dim": 7, "num_classes": 2, "num_layers": 2}
DYNAMIC = {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}
GEMMA3 = {
    "model_type": "gemma3",
    "architectures": ["Gemma3ForConditionalGeneration"],
    "text_config": {
        **{"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96},
    },
    "vision_config": {
        **{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"intermediate_size": 96, "image_size": 28, "patch_size": 14},
    },
    "mm_tokens_per_image": 4,
}
GPT2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 1, "n_head": 4, "n_positions": 64}
BART = {
    **{"model_type": "bart", "d_model": 64, "vocab_size": 100},
    **{"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 64},
    **{"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 64},
}
MOMENTA = ("jet_pt", "jet_energy", "jet_mass", "part_px", "part_py", "part_pz", "part_mass")
PDG = np.array([211, 130, 22, 11, 13])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return tmp_path


def refused(hyflexsim, *arguments):
    """The one line of a refusal."""
    code, _, err = hyflexsim(*arguments)
    assert code == 2
    assert err.count("\n") == 1
    return err


AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2000000,12,1
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,374,44
2024-05-10 00:00:04.324509+00:00,396,109
2024-05-10 00:00:04.529340+00:00,12,1
"""
MOONCAKE = "".join(
    json.dumps({"timestamp": time, "input_length": prompt, "output_length": answer}) + "\n"
    for time, prompt, answer in [(0, 374, 44), (3000, 396, 109), (3000, 12, 1)]
)


def write_jets(functions, pad=0):
    """Jets of the sample, columns changed by a function of their values."""
    table = pq.read_table(SAMPLE).slice(0, 50)
    for place, name in enumerate(table.column_names):
        values = table[name].to_pylist()
        if name in functions:
            change = functions[name]
            values = [
                np.asarray(change(np.asarray(value))).tolist() if value is not None else None
                for value in values
            ]
        if pad and name.startswith("part_"):
            values = [[*value, *[0] * (pad - len(value))] for value in values]
        table = table.set_column(place, name, pa.array(values))
    pq.write_table(table, "jets.parquet")


@pytest.mark.parametrize("command", ["run", "attention", "attention-cost", "train-part"])
@pytest.mark.parametrize(
    ("functions", "message"),
    [
        pytest.param(dict.fromkeys(MOMENTA, lambda v: 1000 * v), "jet_pt must be from 1", id="G1"),
        pytest.param({"jet_pt": np.negative}, "jet_pt must be from 1 to 7000 GeV; got -", id="G2"),
        pytest.param({"part_pid": lambda v: PDG[v]}, "part_pid must be 0 to 4 (0 charg", id="G5"),
    ],
)
def test_jets_of_other_meaning_are_refused_by_every_command(
    hyflexsim, folder, command, functions, message
):
    write_jets(functions)
    arguments = {
        "run": ["run", "part-jets", "--set", "workload.file=jets.parquet"],
        "train-part": ["train-part", "part-small", "jets.parquet"],
    }.get(command, [command, "part-small", "jets.parquet"])
    err = refused(hyflexsim, *arguments, "--out", "out")
    assert f"jets.parquet: {message}" in err
    assert " in row " in err
    assert not (folder / "out").exists()


def test_g3_padding_is_no_token(hyflexsim, folder):
    """Five jets of 249 particles in all, in lists of 128."""
    write_jets({}, pad=128)
    few = ["--set", "workload.count=5", "--no-plots"]
    assert hyflexsim("run", "part-jets", *few, "--out", "a")[0] == 0
    file = ["--set", "workload.file=jets.parquet"]
    assert hyflexsim("run", "part-jets", *few, *file, "--out", "b")[0] == 0
    found = [json.loads((folder / name / "summary.json").read_text()) for name in "ab"]
    assert found[0]["tokens"] == 249
    found[1]["notes"].remove("without effect in this run: workload.file")  # the sample's own jets
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(
            MISSPELT | {"num_hidden_layer": 2},
            "unknown key 'num_hidden_layer'; nearest: num_hidden_layers",
            id="G10",
        ),
        pytest.param(
            LLAMA | {"num_hidden_layers": -1},
            "num_hidden_layers must be an integer from 1 to 1000; got -1",
            id="G11",
        ),
        pytest.param(
            LLAMA | {"num_key_value_heads": 3},
            "num_key_value_heads must divide num_attention_heads (8); got 3",
            id="G12",
        ),
        pytest.param(
            LLAMA | {"hidden_size": 250, "head_dim": 32},
            "cannot build it: The hidden size (250) is not a multiple of the number of attention h",
            id="G16 size",
        ),
        pytest.param(
            LLAMA | {"hidden_act": "swiglu"},
            "hidden_act 'swiglu' is not known; nearest: ",
            id="G16 act",
        ),
        pytest.param(
            {"model_type": "part", "published": "part-ful"},
            "published must be a model; got 'part-ful'; nearest: part-full",
            id="G18",
        ),
        pytest.param(
            PART | {"num_cls_layers": 0},
            "num_cls_layers must be an integer from 1 to 1000; got 0",
            id="G19",
        ),
        pytest.param(PART | {"trim": True}, "unknown key 'trim'; known: activation, ", id="G20"),
        pytest.param(
            {"model_type": "xlnet", "n_layer": 1, "attn_type": "uni"},
            "m: XLNetModel: attn_type must be 'bi' and bi_data false; got 'uni' and False",
            id="XLNet",
        ),
    ],
)
def test_a_configuration_that_is_none(hyflexsim, folder, config, message):
    (folder / "m").mkdir()
    (folder / "m" / "config.json").write_text(json.dumps(config))
    assert message in refused(hyflexsim, "graph", "m/config.json")


@pytest.mark.parametrize(
    ("config", "note"),
    [
        pytest.param(
            LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "note: weights come from codes of 4 bits (gptq), each output with a scale and",
            id="G14",
        ),
    ],
)
def test_what_is_left_out_is_said(hyflexsim, folder, config, note):
    (folder / "m").mkdir()
    (folder / "m" / "config.json").write_text(json.dumps(config))
    code, out, err = hyflexsim("graph", "m/config.json")
    assert (code, err) == (0, "")
    assert note in out


def test_what_is_said_of_a_quantized_model_is_said_once(hyflexsim, folder):
    (folder / "m").mkdir()
    quantized = LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    (folder / "m" / "config.json").write_text(json.dumps(quantized))
    assert hyflexsim("graph", "m/config.json")[1].count("note: ") == 1


@pytest.mark.parametrize(
    "scaling",
    [
        DYNAMIC,
        {
            "rope_scaling": {
                "rope_type": "longrope",
                "short_factor": [1.0] * 16,
                "long_factor": [2.0] * 16,
                "original_max_position_embeddings": 1024,
            }
        },
    ],
    ids=["dynamic", "longrope"],
)
def test_g17_rotary_frequencies_are_not_counted(hyflexsim, folder, scaling):
    """1,627,392 parameters and 89,817,088 MACs, as without."""
    (folder / "m").mkdir()
    (folder / "m" / "config.json").write_text(json.dumps(LLAMA | scaling))
    code, out, err = hyflexsim("graph", "m/config.json", "--tokens", "64")
    assert (code, err) == (0, "")
    assert "m: 41 ops, 1,627,392 parameters, 89,817,088 MACs at 64 tokens" in out
    assert "note: rotary frequencies change with the length (rope_scaling); here they are" in out


def test_g29_a_window_is_counted_by_graph_as_by_run(hyflexsim, folder):
    """Of 128 tokens the first 64 see 1 to 64, all others 64: 6,176 of each of 8 heads of 32."""
    (folder / "m").mkdir()
    mistral = {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    (folder / "m" / "config.json").write_text(json.dumps(LLAMA | mistral | {"sliding_window": 64}))
    code, out, err = hyflexsim("graph", "m/config.json", "--tokens", "128", "--out", "g.json")
    assert (code, err) == (0, "")
    assert "note" not in out
    assert g.macs(g.load("g.json"), 128)["layers.0.self_attn.qk"] == 6176 * 8 * 32


def test_g15_what_the_forward_pass_does_not_reach_is_refused_by_module(hyflexsim, folder):
    (folder / "m").mkdir()
    (folder / "m" / "config.json").write_text(json.dumps(GEMMA3))
    err = refused(hyflexsim, "graph", "m/config.json")
    assert (
        "m: the forward pass does not reach model.multi_modal_projector, model.vision_tower" in err
    )
    some = ["--leave-out", "*.vision*"]
    assert "reach model.multi_modal_projector (" in refused(
        hyflexsim, "graph", "m/config.json", *some
    )
    err = refused(hyflexsim, "graph", "m/config.json", "--leave-out", "decoder")
    assert "leave_out must name modules that the forward pass does not reach (" in err
    code, out, _ = hyflexsim("graph", "m/config.json", *some, "--leave-out", "*.multi_*")
    assert code == 0
    assert (
        " are of parts that the forward pass does not reach (model.multi_modal_projector, model.vis"
        in out
    )
    model = ["--set", "model.name=m/config.json"]
    assert "not reach model.multi_modal_projector, model.vision" in refused(
        hyflexsim, "validate", "bert-base", *model
    )
    assert hyflexsim("validate", "bert-base", *model, "--set", 'model.leave_out=["*"]')[0] == 0


def test_bart_is_whole(hyflexsim, folder):
    """Encoder and decoder: version 0.3.1 read the first alone and did not say so.

    Tables of 100 words and twice 1,026 positions; an encoder's layer of 4 · 64 · 65 + 2 · 64 · 64 +
    64 + 64 and two norms of 128; a decoder's has one more attention and norm; two norms at first.
    """
    (folder / "m").mkdir()
    (folder / "m" / "config.json").write_text(json.dumps(BART))
    code, out, err = hyflexsim("graph", "m/config.json", "--tokens", "7", "--source", "5")
    attention, norm, forward = 4 * 64 * 65, 128, 2 * 64 * 64 + 128
    layers = 3 * attention + 5 * norm + 2 * forward
    parameters = 100 * 64 + 2 * 1026 * 64 + layers + 2 * norm
    assert (code, err) == (0, "")
    assert f"{parameters:,} parameters" in out
    assert "note" not in out


@pytest.mark.parametrize(
    ("name", "text", "seconds"),
    [
        pytest.param("a.csv", AZURE, [0, 4.314579, 4.51941], id="G7 2023"),
        pytest.param("a.csv", AZURE_2024, [0, 4.314579, 4.51941], id="G7 2024"),
        pytest.param("m.jsonl", MOONCAKE, [0, 3, 3], id="G8"),
    ],
)
def test_traces_as_they_are_published(folder, name, text, seconds):
    (folder / name).write_text(text)
    scenario = Scenario.load(
        "llama-3.2-1b",
        {
            "workload.arrivals": {"kind": "trace", "file": name},
            "workload.prompts": {"kind": "trace"},
            "workload.answers": {"kind": "trace"},
            "workload.requests": 3,
        },
    )
    requests, _ = load_requests(scenario, new_graph("any"))
    assert [request.arrival for request in requests] == [round(s * 1e12) for s in seconds]
    assert [request.prefill for request in requests] == [374, 396, 12]
    assert [r.tokens - (r.prefill or 0) + 1 for r in requests] == [44, 109, 1]


def test_g9_a_time_since_1970_is_out_of_range(hyflexsim, folder):
    (folder / "t.txt").write_text("1.7e9 s\n1700000001 s\n1700000002 s\n")
    trace = 'workload.arrivals={kind="trace",file="t.txt"}'
    err = refused(hyflexsim, "validate", "part-jets", "--set", trace, "--set", "workload.count=3")
    assert "t.txt: line 1 must be a time from 0 to 4611686018427387904 ps (53 days)" in err


def test_g13_an_input_beyond_the_positions_that_a_model_has_learned(hyflexsim, folder):
    (folder / "m").mkdir()
    (folder / "m" / "config.json").write_text(json.dumps(GPT2))
    err = refused(hyflexsim, "graph", "m/config.json", "--tokens", "4096")
    message = "m: tokens must be at most 64, the positions that it has learned (in a run, model."
    assert message in err
    assert hyflexsim("graph", "m/config.json")[0] == 0
    longer = ["--set", "model.name=m/config.json", "--set", "workload.tokens=65"]
    assert message in refused(hyflexsim, "validate", "bert-base", *longer)
    beyond = [*longer, "--set", "model.positions=any", "--no-plots", "--out", "a"]
    code, out, _ = hyflexsim("run", "bert-base", *beyond)
    assert code == 0
    assert "m has 64 positions: a request of 65 tokens is counted as if it had as many" in out


def test_a_key_that_a_family_does_not_know_is_named(hyflexsim, folder):
    (folder / "m").mkdir()
    (folder / "m" / "config.json").write_text(json.dumps(GPT2 | {"made_by": "me"}))
    code, out, err = hyflexsim("graph", "m/config.json")
    assert (code, err) == (0, "")
    assert " MACs at 64 tokens" in out
    assert "note: keys that the configuration of gpt2 does not name: made_by" in out


def test_g21_a_product_of_parameters_is_no_matrix():
    class Factors(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.U = torch.nn.Parameter(torch.zeros(64, 8))
            self.V = torch.nn.Parameter(torch.zeros(8, 64))

        def forward(self, x):
            return torch.nn.functional.linear(x, self.U @ self.V)

    with pytest.raises(InputError, match="a matrix computed from U and V; give each a product"):
        extract(Factors(), inputs={"x": (1, "N", 64)})


def test_c8_jets_that_the_sample_lacks_are_named_with_what_helps(hyflexsim):
    err = refused(hyflexsim, "train-part", "part-small", "--out", "t")
    assert "no jet of Hcc; it has QCD, Hbb, Wqq, Tbqq, Tbl; name a file with such jets (hyf" in err


def test_g22_integers_are_no_weights(hyflexsim, folder):
    state = load_file(SAMPLE.with_name("part-small.safetensors"))
    state["blocks.0.fc1.weight"] = state["blocks.0.fc1.weight"].to(torch.int8)
    save_file(state, folder / "w.safetensors")
    err = refused(hyflexsim, "attention", "w.safetensors", "--model", "part-small")
    assert "blocks.0.fc1.weight must hold floating-point numbers; got torch.int8" in err


def test_g23_a_wrapped_state_names_its_key(hyflexsim, folder):
    state = load_file(SAMPLE.with_name("part-small.safetensors"))
    torch.save({"model": state, "epoch": 3}, folder / "w.pt")
    err = refused(hyflexsim, "attention", "w.pt", "--model", "part-small")
    assert "must hold a state dict (name: tensor) and nothing else; its 'model' is one" in err


def test_g24_what_follows_from_a_node_is_named(hyflexsim):
    """Since rules were written, parts scale with it, and each says so."""
    few = ["--set", "workload.count=3", "--no-plots"]
    code, out, _ = hyflexsim("run", "part-jets", *few, "--set", "chip.technology_nm=22")
    assert code == 0
    assert "note: analog.area.arrays was derived by node_area(chip.technology_nm)" in out


def test_g25_a_register_that_a_token_does_not_fit_in(hyflexsim):
    """The key of 0.3.1 is none; that of now takes area, so the run is another one."""
    few = ["--set", "workload.count=3"]
    err = refused(hyflexsim, "run", "part-jets", *few, "--set", "buffer.input_bytes=1")
    assert "unknown key 'buffer.input_bytes'; nearest: analog.registers.input_bytes" in err
    found = [
        simulate(Scenario.load("part-jets", ["workload.count=3", *more])).summary
        for more in ([], ["digital.registers.input_bytes=1"])
    ]
    assert found[1]["area_mm2"]["chip"] < found[0]["area_mm2"]["chip"]


def test_g30_one_token_more_is_not_faster_where_nobody_takes_turns():
    """With copies it may be, by 0.1 % here: docs/architecture.md, Engine, says why."""
    found = []
    for copies, tokens in (("none", 128), ("none", 129), ("fill", 128), ("fill", 129)):
        few = [f"workload.tokens={tokens}", "workload.requests=1", f"mapping.copies={copies}"]
        found.append(simulate(Scenario.load("bert-base", few)).summary["latency_ps"]["max"])
    assert found[0] < found[1]
    assert found[3] == pytest.approx(found[2], rel=0.002)


def test_c2_a_chip_too_large_is_refused_before_work_starts(hyflexsim):
    large = ["--set", "chip.chips=65536", "--set", "mapping.pus_per_layer=fill"]
    err = refused(hyflexsim, "validate", "part-jets", *large)
    assert "would spread the model over 1572863 PUs; at most 131072 can be in use: give" in err


def test_g26_a_rate_without_a_unit_names_units(hyflexsim):
    err = refused(hyflexsim, "run", "part-jets", "--set", "adc.rate=1280000000")
    assert "unit S/s, kS/s, MS/s or GS/s; got 1280000000" in err


def test_g28_what_is_read_instead_of_onnx(hyflexsim, folder):
    (folder / "m.onnx").touch()
    err = refused(hyflexsim, "graph", "m.onnx")
    assert "m.onnx: ONNX is not read; give the model's config.json" in err


def test_g6_whose_accuracy_it_is(hyflexsim, folder):
    write_jets({})
    few = ["--set", "workload.count=2", "--set", "accuracy.seeds=1", "--set", "accuracy.limit=2"]
    file = ["--set", "workload.file=jets.parquet", "--no-plots"]
    code, out, _ = hyflexsim("run", "hybrid-jets", *few, *file)
    assert code == 0
    said = " ".join(out.split())
    assert "note: scores are of the checkpoint's own held-out items, not of" in said
    assert "jets.parquet, which times and energies are of" in said
