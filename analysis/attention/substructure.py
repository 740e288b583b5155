"""Pictures of attention against substructure: rank correlations, between pairs and jets."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.attention.correlation import ATTENTION, OBSERVABLES, PAIRS
from hyflexsim.analysis.attention.style import colour_of, panels, per_layer

PAIR_NAMES = {"delta_r": "ΔR", "kt": "kT", "z": "z", "mass": "m²"}
OBSERVABLE_NAMES = {
    "tau21": "τ₂₁",
    "tau32": "τ₃₂",
    "subjet_pt_share": "subjet pT share",
    "subjet_dr": "subjet ΔR",
    "lepton_isolation": "lepton isolation",
    "mass": "jet mass",
    "multiplicity": "multiplicity",
}
ATTENTION_NAMES = {
    "inter_subjet": "inter-subjet share",
    "delta_r": "mean ΔR attended",
    "received_hardest_subjet": "to hardest subjet",
    "received_lepton": "to lepton",
    "entropy": "entropy",
}


def pair_correlation_plot(pairs: pd.DataFrame) -> Axes:
    """Spearman's rho of A_ij with a pair's DR, kT, z, m^2, by layer; dots are heads."""
    with style.context():
        figure, axes = panels(1, len(PAIRS), height=2.3, sharey=True)
        for ax, name in zip(axes[0], PAIRS, strict=True):
            for model in dict.fromkeys(pairs["model"]):
                mine = pairs[(pairs["model"] == model) & (pairs["observable"] == name)]
                shift = -0.1 if model == "trained" else 0.1
                layer, rho = mine["layer"].to_numpy(), mine["rho"].to_numpy()
                per_layer(ax, layer, rho, colour_of(model), shift, model)
            ax.axhline(0, color="black", linewidth=0.7, linestyle=":")
            ax.set_title(PAIR_NAMES[name])
            ax.set_xlabel("layer")
            ax.grid(axis="y")
        axes[0, 0].set_ylabel("rank correlation with $A_{ij}$")
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)
    first: Axes = axes[0, 0]
    return first


def strongest(table: pd.DataFrame) -> pd.DataFrame:
    """Per model, attention measure and observable the head of largest |rho|, averaged over classes.

    rho of a head is the mean over the classes that know both, weighted by jets; `best` is the
    value of largest size over layers and heads, `typical` the root mean square over them.
    `noise` is what the best of as many heads would show by chance, were they independent.
    """
    keys = ["model", "attention", "observable"]
    frame = table.dropna(subset=["rho"])
    frame = frame.assign(product=frame["rho"] * frame["jets"])
    heads = frame.groupby([*keys, "layer", "head"])[["product", "jets"]].sum()
    heads["rho"] = heads["product"] / heads["jets"]
    rows = []
    for key, own in heads.groupby(keys, sort=False):
        best = own["rho"].iloc[int(own["rho"].abs().to_numpy().argmax())]
        typical = float(np.sqrt((own["rho"] ** 2).mean()))
        spread = 1 / np.sqrt(own["jets"].mean())
        noise = spread * np.sqrt(2 * np.log(max(2 * len(own), 2)))
        rows.append((*key, best, typical, noise))
    return pd.DataFrame(rows, columns=[*keys, "best", "typical", "noise"])


def jet_correlation_plot(table: pd.DataFrame) -> Axes:
    """Strongest head's rho per attention measure and observable, trained beside untrained."""
    found = strongest(table)
    models = list(dict.fromkeys(found["model"]))
    with style.context():
        figure, axes = panels(1, len(models), height=2.5, sharey=True)
        image = None
        for ax, model in zip(axes[0], models, strict=True):
            mine = found[found["model"] == model]
            grid = mine.pivot_table(index="attention", columns="observable", values="best")
            grid = grid.reindex(index=list(ATTENTION), columns=list(OBSERVABLES))
            image = ax.imshow(grid.to_numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
            for (i, j), value in np.ndenumerate(grid.to_numpy()):
                text = "–" if np.isnan(value) else f"{value:.2f}"
                ax.text(j, i, text, ha="center", va="center", fontsize=6,
                        color="white" if abs(value) > 0.65 else "black")  # fmt: skip
            ax.set_xticks(range(len(OBSERVABLES)), [OBSERVABLE_NAMES[k] for k in OBSERVABLES],
                          rotation=35, ha="right", rotation_mode="anchor")  # fmt: skip
            ax.set_yticks(range(len(ATTENTION)), [ATTENTION_NAMES[k] for k in ATTENTION])
            ax.tick_params(length=0)
            noise = float(mine["noise"].median())
            ax.set_title(f"{model} (chance: ± {noise:.2f})", fontsize=7)
        if image is not None:
            bar = figure.colorbar(image, ax=list(axes.ravel()), pad=0.01)
            bar.set_label("rank correlation, best head")
    first: Axes = axes[0, 0]
    return first
