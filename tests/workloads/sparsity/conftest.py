"""A small ParT with random weights, on jets of the sample; with one particle a jet, too."""

import pytest
import torch

from hyflexsim.models.part.checkpoint import PartSpec, save_part
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.sparsity.scored_jets import ScoredJets

TINY = {
    "input_dim": 7,
    "num_classes": 2,
    "embed_dims": (16,),
    "pair_embed_dims": (8,),
    "num_heads": 2,
    "num_layers": 2,
    "num_cls_layers": 1,
}


@pytest.fixture(scope="session")
def subject_of(tmp_path_factory):
    """A function: the model and the last jets of two classes, so many particles read."""
    kept = {}

    def made(particles):
        if particles not in kept:
            torch.manual_seed(3)
            spec = PartSpec(TINY, "kin", particles, ("QCD", "Tbqq"))
            model = spec.build()
            for block in model.blocks:  # scores far enough apart that few keys are not all alike
                torch.nn.init.normal_(block.attn.in_proj.weight, std=0.4)
            file = tmp_path_factory.mktemp("tiny") / "model.safetensors"
            save_part(file, model, spec)
            kept[particles] = ScoredJets(file, None, 2, load_chip("hyflexpim-topk"))
        return kept[particles]

    return made
