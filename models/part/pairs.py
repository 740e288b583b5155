"""What ParT knows of a pair of particles: four features, and a small network that makes U of them.

Shapes: B jets, N particles, P = N (N + 1) / 2 pairs, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hyflexsim.models.part.activation import activation_of


class PairEmbed(nn.Module):
    """Four-vectors (B, 4, N) to the attention bias U (B, H, N, N), symmetric.

    Only the P = N (N + 1) / 2 pairs i >= j are evaluated, then mirrored. The last activation
    stays unless `use_pre_activation_pair`, so in the published models U >= -0.17.
    """

    def __init__(self, pair_input_dim: int, dims: Sequence[int], activation: str, last: bool):
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(pair_input_dim)]
        for i, o in zip((pair_input_dim, *dims), dims, strict=False):
            layers += [nn.Conv1d(i, o, 1), nn.BatchNorm1d(o), activation_of(activation)]
        self.embed = nn.Sequential(*(layers if last else layers[:-1]))

    def forward(self, v: Tensor) -> Tensor:
        """(B, 4, N) -> (B, H, N, N); v is (px, py, pz, E) in GeV."""
        n = v.shape[-1]
        pair = torch.arange(n * (n + 1) // 2, device=v.device)  # (P,): (0,0) (1,0) (1,1) (2,0) ...
        i = ((8.0 * pair.double() + 1).sqrt() / 2 - 0.5).long()  # tril_indices would fix N in
        j = pair - i * (i + 1) // 2  # an exported graph
        u = self.embed(pair_features(v[:, :, i], v[:, :, j]))  # (B, H, P)
        at = torch.arange(n, device=v.device)
        row, col = torch.maximum(at[:, None], at), torch.minimum(at[:, None], at)  # (N, N)
        out: Tensor = u[:, :, row * (row + 1) // 2 + col]
        return out


def pair_features(vi: Tensor, vj: Tensor, eps: float = 1e-8) -> Tensor:
    """ln kT, ln z, ln Delta, ln m2 of pairs: (B, 4, P) from two (B, 4, P) of four-vectors.

    With transverse momentum pt, rapidity y, azimuth phi (paper, eq. 3; order and clamps as
    in weaver-core): Delta = hypot(dy, dphi), kT = min(pt) Delta, z = min(pt) / (pti + ptj),
    m2 the squared invariant mass. Each is clamped to at least eps before the logarithm, so
    a particle with itself gives ln Delta = ln 1e-8. So is what the rapidity is the logarithm of,
    which is 0 for a massless particle against the beam: all are finite, and weaver-core's where
    those are.
    """
    pti, yi, phii = _pt_rapidity_phi(vi)
    ptj, yj, phij = _pt_rapidity_phi(vj)
    dphi = (phii - phij + math.pi) % (2 * math.pi) - math.pi
    delta = torch.sqrt((yi - yj) ** 2 + dphi**2)
    softer = torch.minimum(pti, ptj)
    px, py, pz, energy = (vi + vj).unbind(1)
    features = (
        softer * delta,
        softer / (pti + ptj).clamp(min=eps),
        delta,
        energy**2 - (px**2 + py**2 + pz**2),
    )
    return torch.stack([f.clamp(min=eps).log() for f in features], dim=1)


def _pt_rapidity_phi(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    px, py, pz, energy = v.unbind(1)
    ratio = 1 + 2 * pz / (energy - pz).clamp(min=1e-20)
    rapidity = 0.5 * torch.log(ratio.clamp(min=1e-20))
    return torch.sqrt(px**2 + py**2), rapidity, torch.atan2(py, px)
