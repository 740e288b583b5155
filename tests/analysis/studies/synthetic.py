"""Directories of accuracy studies with made-up numbers and the real form."""

import json

import numpy as np
import pandas as pd

from hyflexsim.analysis import on_front

F1 = {"name": "F1", "higher_is_better": True, "floor": 0.812}
PERPLEXITY = {"name": "perplexity", "higher_is_better": False, "floor": None}
SIGMAS = {
    0.025: ("released", "1e-11 of cells read wrong, none of a million tried"),
    0.112: ("calibrated", "4.04 % of cells read wrong"),
}
RATES = (0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0)
SELECTS = {"gradient": 3.0, "gradient-last": 2.5, "rank": 2.0, "magnitude": 1.0}
REFERENCES = (("dense", 0.891), ("dense INT8", 0.890), ("truncated", 0.815), ("fine-tuned", 0.887))
METHODS = ("tanh", "shrinkage", "sigmoid", "uniform", "energy", "global", "fwsvd")


def write(path, kind, info, **tables):
    path.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        frame.to_parquet(path / f"{name}.parquet", index=False)
    (path / f"{kind}.json").write_text(json.dumps(info), encoding="utf-8")
    return path


def head(metric, title="Tiny BERT on MRPC"):
    return {"title": title, "model": "tiny-bert", "data": "glue/mrpc", "metric": metric}


def importance(ranks=384, spread=3.0):
    rng = np.random.default_rng(3)
    flat = np.abs(rng.normal(0, 1e-4, 2 * ranks))
    falling = np.abs(rng.normal(0, 4e-4, 2 * ranks)) * np.exp(-np.arange(2 * ranks) / ranks)
    sharp = np.abs(rng.normal(0, 3e-3, ranks)) * np.exp(-np.arange(ranks) * spread / 20) + 1e-6
    series = {"before": flat, "svd": falling, "tuned": sharp}

    def top(values, share):
        return float(np.sort(values)[::-1][: round(share * len(values))].sum() / values.sum())

    shares = {
        stage: {str(share): top(values, share) for share in (0.05, 0.1, 0.2)}
        for stage, values in series.items()
    }
    lists = {stage: values.tolist() for stage, values in series.items()}
    return {"layer": "encoder.layer.3.intermediate.dense", **lists, "shares": shares}


def accuracy(
    path,
    *,
    metric=F1,
    sigmas=(0.025, 0.112),
    selects=tuple(SELECTS),
    rates=RATES,
    adc=(0, 6, 7, 8),
    seeds=5,
    best=0.885,
    worst=0.80,
    references=REFERENCES,
    ranks=384,
    title="Tiny BERT on MRPC",
):
    """Scores that go from worst to best with the SLC rate, faster for better selections."""
    rng = np.random.default_rng(0)
    rows = []
    for select in selects:
        for sigma in sigmas:
            for rate in rates:
                for bits in adc if rate in (0.0, 0.1, 1.0) and select == selects[0] else adc[:1]:
                    for seed in range(1 if rate == 1 else seeds):
                        lost = np.exp(-rate * 10 * SELECTS[select] / 3) * (sigma / 0.112) ** 0.5
                        lost += 0.3 * (8 - bits) / 2 if bits else 0.0
                        lost = 0.0 if rate == 1 and bits == 0 else lost * rng.uniform(0.85, 1.15)
                        score = best * (worst / best) ** lost
                        rows.append((select, sigma, rate, bits, seed, score))
    names = ["select", "sigma", "slc_rate", "adc_bits", "seed", "score"]
    table = pd.DataFrame(rows, columns=names)
    table = table.astype({"adc_bits": "int16", "seed": "int32"})
    info = head(metric, title) | {
        "references": [{"name": name, "score": score} for name, score in references],
        "noise": [
            {"sigma": s, "name": SIGMAS[s][0], "report": SIGMAS[s][1]}
            for s in sigmas
            if s in SIGMAS
        ],
        "importance": importance(ranks) if ranks else None,
        "chip": {"name": "hyflexpim", "analog.input_bits": 8},
    }
    return write(path, "accuracy", info, accuracy=table)


def paths(blocks, style="bert"):
    parts = {
        "bert": [
            *(f"attention.self.{n}" for n in ("query", "key", "value")),
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        ],
        "llama": [
            *(f"self_attn.{n}_proj" for n in "qkvo"),
            *(f"mlp.{n}_proj" for n in ("gate", "up", "down")),
        ],
    }[style]
    stem = {"bert": "encoder.layer", "llama": "model.layers"}[style]
    return [f"{stem}.{i}.{part}" for i in range(blocks) for part in parts]


def study(
    path,
    *,
    metric=F1,
    methods=METHODS,
    rounded=False,
    budgets=(0.3, 0.5, 0.7),
    seeds=3,
    matrices=None,
    dense=0.887,
    lost=0.06,
    title="Tiny BERT on MRPC",
):
    """Methods whose loss falls with the budget; ranks that differ by matrix."""
    rng = np.random.default_rng(1)
    matrices = paths(4) if matrices is None else matrices
    rows, ranks = [], []
    names = [m + end for m in methods for end in (("", " rounded") if rounded else ("",))]
    for i, method in enumerate(names):
        for budget in budgets:
            for seed in range(seeds):
                share = budget * rng.uniform(0.99, 1.0)
                fall = lost * (1 - share) ** 2 * (1 + 0.15 * i) * rng.uniform(0.9, 1.1)
                after = dense * np.exp(-fall if metric["higher_is_better"] else fall)
                before = dense * np.exp(-6 * fall if metric["higher_is_better"] else 2 * fall)
                cost = share * (0.9 if method.endswith("rounded") else 1.0)
                latency = int(4e6 * (0.4 + 0.6 * cost) * rng.uniform(0.98, 1.02))
                makespan, energy = int(1e8 * (0.5 + 0.5 * cost)), 5e5 * (0.3 + 0.7 * cost)
                done = (share, 0.3 + 0.7 * share, share * 0.98, before, after)
                chip = (int(1000 * cost), latency, makespan, energy, 1100, 4000000, 10**8, 5e5)
                rows.append((method, budget, seed, *done, *chip))
                for k, matrix in enumerate(matrices):
                    rank = int(384 * min(budget * (0.5 + (k % 7) / 6) * rng.uniform(0.8, 1.2), 1))
                    ranks.append((method, budget, seed, matrix, 0 if k % 17 == 3 else rank, 384))
    table = pd.DataFrame(
        rows,
        columns=[
            *("method", "budget", "seed", "linears_share", "total_share", "macs_share"),
            *("before", "after", "arrays", "latency_ps", "makespan_ps", "energy_pj"),
            *("dense_arrays", "dense_latency_ps", "dense_makespan_ps", "dense_energy_pj"),
        ],
    )
    columns = ["method", "budget", "seed", "matrix", "rank", "full"]
    paper = [{"what": "SoftLMs, half of all parameters (own hardware)", "low": 1.33, "high": 1.72}]
    info = head(metric, title) | {"dense": dense, "paper": paper}
    return write(path, "study", info, study=table, ranks=pd.DataFrame(ranks, columns=columns))


OWN = {"analog.adc.slc_bits": 6, "analog.adc.mlc_bits": 7, "analog.rows": 64}


def chips(bits=(6,), rows=(64,)):
    """Chips by name, with converters of these bits (multi-level columns: one more) and rows."""
    found = {"hyflexpim": OWN}
    for slc in bits:
        for tall in rows:
            point = {"analog.adc.slc_bits": slc, "analog.adc.mlc_bits": slc + 1}
            point["analog.rows"] = tall
            if point != OWN:
                found[f"adc.slc_bits={slc}, adc.mlc_bits={slc + 1}, rows={tall}"] = point
    return found


def pareto(
    path,
    *,
    metric=F1,
    budgets=(0.3, 0.5, 0.7, 1.0),
    rates=(0.0, 0.05, 0.1, 0.3, 0.4, 0.5, 1.0),
    sigmas=(0.112,),
    seeds=5,
    dense=0.887,
    lost=0.06,
    title="Tiny BERT on MRPC",
    machines=None,
    one_area=False,
):
    """Less budget, less SLC, fewer bits and more rows: cheaper and worse."""
    rng = np.random.default_rng(2)
    machines = chips() if machines is None else machines
    points = []
    for sigma in sigmas:
        for budget in budgets:
            for chip, values in machines.items():
                short = values["analog.rows"] / 2 ** values["analog.adc.slc_bits"]
                for rate in rates:
                    fall = lost * ((1 - budget) ** 2 + np.exp(-8 * rate) * sigma / 0.112)
                    fall += lost * max(short - 1, 0)
                    score = dense * np.exp(-fall if metric["higher_is_better"] else fall)
                    half = score * lost * 0.05 * rng.uniform(0.5, 1.5) if seeds > 1 else np.nan
                    time = int(4e6 * (0.4 + 0.6 * budget) * (1 + 0.35 * rate))
                    energy = 5e5 * (0.3 + 0.7 * budget) * (1 + 0.2 * rate) * (0.4 + 0.6 / short)
                    area = 300.0 if one_area else 240.0 + 60.0 / short
                    points.append(
                        {
                            "budget": budget,
                            "chip": chip,
                            "slc_rate": rate,
                            "noise": f"{sigma:g}",
                            "sigma": sigma,
                            "seeds": seeds,
                            "score": score,
                            "half_width": half,
                            "latency_ps": time,
                            "energy_pj": energy,
                            "area_mm2": area,
                            "arrays": int(1000 * budget * (1 + rate)),
                            "throughput_per_s": 1e12 / time,
                        }
                    )
    table = pd.DataFrame(points)
    losses = table["score"] * (-1 if metric["higher_is_better"] else 1)
    costs = table[["latency_ps", "energy_pj", "area_mm2"]]
    table["front"] = False
    for noise in set(table["noise"]):
        own = table["noise"] == noise
        table.loc[own, "front"] = on_front(costs[own], losses[own])
    reference = {"name": "dense", "score": dense}
    info = head(metric, title) | {"reference": reference, "chips": machines}
    return write(path, "pareto", info, pareto=table)
