"""A directory of attention maps without a model: random scores, known jets."""

import json

import numpy as np
import pandas as pd


def softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def write_attention(
    path, counts=(9, 6, 12, 7, 11, 8, 10, 9), layers=2, heads=3, batch=3, sharp=4.0
):
    """Jets of so many particles, labels QCD and Tbl in turn; the trained model is `sharp`."""
    draw = np.random.default_rng(5)
    path.mkdir(parents=True)
    counts = list(counts)
    for model, scale in (("trained", sharp), ("untrained", 0.3)):
        (path / model).mkdir()
        for index, first in enumerate(range(0, len(counts), batch)):
            own = counts[first : first + batch]
            qk = [scale * draw.normal(size=(layers, heads, n, n)) for n in own]
            u = [draw.uniform(0.1, 1, size=(heads, n, n)) for n in own]
            weights = [softmax(a + b) for a, b in zip(qk, u, strict=True)]
            cls = [softmax(draw.normal(size=(1, heads, n + 1))) for n in own]
            arrays = {"qk": qk, "u": u, "weights": weights}
            for name, parts in arrays.items():
                flat = np.concatenate([p.reshape(*p.shape[:-2], -1) for p in parts], axis=-1)
                np.save(path / model / f"{name}-{index:05d}.npy", flat.astype(np.float32))
            np.save(path / model / f"cls-{index:05d}.npy", np.concatenate(cls, axis=-1))
    _frames(path, counts, draw)
    manifest = {"format": "hyflexsim-attention-1", "layers": layers, "class_layers": 1}
    manifest |= {"heads": heads, "bias": True, "jets": len(counts), "batch": batch}
    manifest |= {"models": ["trained", "untrained"], "classes": ["QCD", "Tbl"]}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def _frames(path, counts, draw):
    labels = ["QCD" if j % 2 == 0 else "Tbl" for j in range(len(counts))]
    jets = pd.DataFrame({"jet": range(len(counts)), "label": labels, "particles": counts})
    jets["prongs"] = [1 if label == "QCD" else 2 for label in labels]
    for name in ("tau21", "tau32", "subjet_pt_share", "subjet_dr", "mass", "lepton_isolation"):
        jets[name] = draw.uniform(0, 1, len(counts))
    jets["multiplicity"] = counts
    jets["predicted_trained"], jets["predicted_untrained"] = labels, "QCD"
    jets.to_parquet(path / "jets.parquet")
    rows = []
    for j, n in enumerate(counts):
        pt = np.sort(draw.exponential(20, n) + 1)[::-1]
        for i in range(n):
            subjet = i % 2 if labels[j] == "Tbl" else 0
            rows.append(
                {
                    "jet": j,
                    "index": i,
                    "pt": pt[i],
                    "deta": draw.normal(0, 0.3),
                    "dphi": draw.normal(0, 0.3),
                    "charge": 0,
                    "pid": 3 if labels[j] == "Tbl" and i == 1 else i % 3,
                    "subjet": subjet,
                    "b_subjet": labels[j] == "Tbl" and subjet == 0,
                }
            )
    pd.DataFrame(rows).to_parquet(path / "particles.parquet")
