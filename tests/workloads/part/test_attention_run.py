"""From checkpoint and jets to a directory and its page: the stored maps are the model's."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from hyflexsim.analysis.attention.directory import load_attention
from hyflexsim.models.part.checkpoint import PartSpec, save_part
from hyflexsim.models.part.inputs import jet_features
from hyflexsim.models.part.transformer import PART_CONFIGS
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.cli.main import main
from hyflexsim.workloads.jets.jets import PARTICLE_COLUMNS, load_jets
from hyflexsim.workloads.jets.sample import SAMPLE
from hyflexsim.workloads.part import attention_run
from hyflexsim.workloads.part.attention_run import choose, new_attention_dir, take_attention

CLASSES = ("QCD", "Tbqq", "Tbl")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(2)
    model = PART_CONFIGS["part-small"] | {"num_layers": 2, "num_classes": 3}
    spec = PartSpec(model, "full", 40, CLASSES)
    return save_part(tmp_path_factory.mktemp("part") / "model.safetensors", spec.build(), spec)


def take(out, checkpoint, **options):
    with new_attention_dir(out) as folder:
        take_attention(folder, checkpoint, **options)
    return load_attention(out)


@pytest.fixture(scope="module")
def run(checkpoint, tmp_path_factory):
    attention_run.BATCH, kept = 4, attention_run.BATCH
    out = tmp_path_factory.mktemp("runs") / "maps"
    found = take(out, checkpoint, per_class=3, dtype="float32")
    attention_run.BATCH = kept
    return found


@torch.no_grad()
def test_maps_are_those_of_each_jet_alone(run, checkpoint):
    """One jet at a time, without padding, through the plain model: to 1e-5."""
    from hyflexsim.models.part.checkpoint import load_part  # noqa: PLC0415

    model, spec = load_part(checkpoint)
    jets = choose(None, CLASSES, 3)
    assert jets.labels.tolist() == run.jets["label"].tolist()
    for j in range(len(jets)):
        x, v = jet_features(jets.inputs(j), "full", jets.axis(j))
        x, v = (torch.from_numpy(t[None, :, : spec.particles]) for t in (x, v))
        _, records = model(x, v, None, return_attention=True)
        maps = run.maps(j)
        assert maps.weights.shape[-1] == min(jets.counts[j], 40)
        for layer in range(2):
            np.testing.assert_allclose(maps.weights[layer], records[layer].weights[0], atol=1e-5)
            np.testing.assert_allclose(maps.qk[layer], records[layer].qk[0], atol=1e-5)
        np.testing.assert_allclose(maps.u, records[0].bias[0], atol=1e-5)
        np.testing.assert_allclose(maps.cls[0], records[-1].weights[0, :, 0], atol=1e-5)
        np.testing.assert_allclose(maps.weights.sum(-1), 1, atol=1e-5)


def test_tables_describe_the_jets(run):
    jets = choose(None, CLASSES, 3)
    assert run.jets["particles"].tolist() == np.minimum(jets.counts, 40).tolist()
    for j in range(len(jets)):
        own, particles = jets.inputs(j), run.of_jet(j)
        n = len(particles)
        np.testing.assert_allclose(particles["pt"], np.hypot(own["px"], own["py"])[:n], rtol=1e-6)
        x, _ = jet_features(own, "full", jets.axis(j))
        np.testing.assert_allclose(abs(particles["deta"]), abs(x[15, :n]), atol=1e-5)
        np.testing.assert_allclose(particles["dphi"], x[16, :n], atol=1e-5)
        prongs = run.jets["prongs"].iloc[j]
        assert set(particles["subjet"]) <= set(range(prongs))
    top = run.particles.merge(run.jets[["jet", "label"]], on="jet")
    assert not top[top["label"] == "QCD"]["b_subjet"].any()
    b = top[top["label"] == "Tbqq"].groupby("jet")["b_subjet"].mean()
    assert ((b > 0) & (b < 1)).all()


def test_the_untrained_twin_has_other_weights_and_its_own_u(run):
    assert abs(run.maps(0).u - run.maps(0, "untrained").u).max() > 1e-3


def test_the_last_jets_are_taken():
    every = load_jets(None, ["Tbl"])
    last = choose(None, ("Tbl",), 2)
    assert last.jet["jet_pt"].tolist() == every.jet["jet_pt"][-2:].tolist()


def test_jets_unlike_those_of_the_training_are_named_by_feature(tmp_path):
    """d0 20 times as large, as of particles that live long: what is charged is far outside."""
    table = pq.read_table(SAMPLE).slice(0, 60)
    d0 = [[20 * d for d in jet] for jet in table["part_d0"].to_pylist()]
    at = table.schema.get_field_index("part_d0")
    pq.write_table(table.set_column(at, "part_d0", pa.array(d0)), tmp_path / "displaced.parquet")
    pq.write_table(table, tmp_path / "prompt.parquet")
    own = SAMPLE.with_name("part-small.safetensors")
    like, unlike = (
        take(tmp_path / kind, own, jets=tmp_path / f"{kind}.parquet", per_class=2).manifest["notes"]
        for kind in ("prompt", "displaced")
    )
    assert like == []
    assert [note.split(" of ")[0] for note in unlike] == ["d0"]


def test_float16_that_does_not_fit(checkpoint, tmp_path):
    from hyflexsim.models.part.checkpoint import load_part  # noqa: PLC0415

    model, spec = load_part(checkpoint)
    with torch.no_grad():
        model.blocks[0].attn.in_proj.weight[:128] *= 3000
    save_part(tmp_path / "wide.safetensors", model, spec)
    with pytest.raises(
        InputError, match=r"^--dtype float16 holds at most 65504; a qk is .*: float"
    ):
        take(tmp_path / "out", tmp_path / "wide.safetensors", per_class=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wide.safetensors"]
    assert len(
        take(tmp_path / "out", tmp_path / "wide.safetensors", per_class=2, dtype="float32").jets
    )


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code, capsys.readouterr()


def test_command_makes_the_page(checkpoint, tmp_path, capsys):
    out = tmp_path / "maps"
    code, printed = command(capsys, "attention", checkpoint, "--out", out, "--per-class", 12)
    assert code == 0, printed.err
    assert "trained, with U" in printed.out
    assert (out / "index.html").is_file()
    assert len(list((out / "pictures").glob("*.png"))) == 20
    assert len(pd.read_parquet(out / "correlations.parquet"))


def test_a_model_without_u(tmp_path, capsys):
    model = PART_CONFIGS["part-small"] | {"pair_input_dim": 0, "num_layers": 1}
    spec = PartSpec(model | {"num_classes": 3}, "full", 40, CLASSES)
    file = save_part(tmp_path / "plain.safetensors", spec.build(), spec)
    out = tmp_path / "maps"
    code, printed = command(capsys, "attention", file, "--out", out, "--per-class", 2)
    assert code == 0, printed.err
    assert "without U" not in printed.out
    run = load_attention(out)
    assert (run.maps(0).u == 0).all()
    assert not (out / "pictures" / "qk_over_u.png").exists()


def harmed(path, **columns):
    """Two jets of the sample with some particle columns replaced in the second one."""
    table = pq.read_table(SAMPLE).slice(0, 2)
    for name, change in columns.items():
        values = table[name].to_pylist()
        values[1] = change(values[1])
        table = table.set_column(table.column_names.index(name), name, [values])
    pq.write_table(table, path)
    return path


def test_bad_jets_are_one_line_and_code_2(checkpoint, tmp_path, capsys):
    nan = harmed(tmp_path / "nan.parquet", part_px=lambda p: [float("nan"), *p[1:]])
    none = harmed(tmp_path / "none.parquet", **dict.fromkeys(PARTICLE_COLUMNS, lambda _: []))
    missing = tmp_path / "missing.parquet"
    pq.write_table(pq.read_table(SAMPLE).slice(0, 2).drop_columns("part_pid"), missing)
    for file, message in [
        (nan, "part_px must be finite; got nan in row 1"),
        (none, "part_px must hold at least one particle; none in row 1"),
        (missing, "column part_pid is missing; jets need it"),
    ]:
        for name in ("attention", "attention-cost"):
            code, printed = command(capsys, name, checkpoint, file, "--out", tmp_path / "out")
            assert code == 2
            assert printed.err.strip().endswith(f"{file}: {message}")
            assert len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_bad_input_is_one_line_and_code_2(checkpoint, tmp_path, capsys):
    bare = tmp_path / "bare.safetensors"
    save_file({"x": torch.zeros(2)}, bare)
    for arguments, part in [
        ([tmp_path / "no.pt"], "no.pt: no such file; a .safetensors, .pt or .pth file is needed"),
        ([bare], "does not say what it holds; name the model"),
        ([bare, "--model", "part-kin"], "lacks key cls_token"),
        ([bare, "--model", "part"], "model must be one of part-full"),
        ([checkpoint, tmp_path / "none.parquet"], "no such file or folder of jets"),
        ([checkpoint, "--per-class", 0], "--per-class must be at least 1; got 0"),
        ([checkpoint, "--dtype", "int8"], "--dtype must be one of float16, float32; got 'int8'"),
    ]:
        code, printed = command(capsys, "attention", *arguments, "--out", tmp_path / "out")
        assert code == 2
        assert part in printed.err
        assert len(printed.err.strip().splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bare.safetensors"]
