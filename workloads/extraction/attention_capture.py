"""Export a torch model with attention, scan and pair features as single nodes.

``torch.export`` writes out what the Python code computes. Three things would come out at the
wrong grain, so during the export (and only then) a *custom operator* stands in their place: an
operator with a shape but no content, which leaves one node with its operands in the graph.

- attention: transformers calls it through a table (AttentionInterface); our entry calls
  ``hyflexsim::attention``. The mask is switched off in the same way: causality is read from the
  call instead. ParT calls
  :func:`hyflexsim.models.part.attention.attention`.
- Mamba's selective scan: torch's fallback is a Python loop over tokens (N = 1024: 41,346 nodes).
- ParT's pair features: logarithms and squares of four-vectors, which the host or an SFU computes.

Source of the recipe: tried on torch 2.13 and transformers 5.23 (BERT, GPT-2, Llama, Qwen, ViT).
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction import family_patches
from hyflexsim.workloads.extraction.quiet import quiet
from hyflexsim.workloads.extraction.written_attention import gather

NAME = "hyflexsim"
EXAMPLE_TOKENS = 37  # an odd prime: no width, head count or table size is likely to equal it
EXAMPLE_SOURCE = 41  # another one, for the input of an encoder beside a decoder

Shape = tuple[int | str, ...]


@functools.cache
def operators() -> Any:
    """Define the custom operators once per process and return ``torch.ops.hyflexsim``."""
    import torch  # noqa: PLC0415

    library: Any = torch.library.Library(NAME, "DEF")  # type: ignore[no-untyped-call]
    schemas: dict[str, tuple[str, Callable[..., Any]]] = {
        # q (B, H, Q, D), k (B, G, K, D), v (B, G, K, V) -> (B, H, Q, V); no scale: 1 / sqrt(D);
        # squares: tokens in a row of the image, side of a square, and where the first one begins
        "attention": (
            "(Tensor q, Tensor k, Tensor v, Tensor? bias, bool causal, int[]? window, float? scale,"
            " float? cap, Tensor? sinks, int[]? squares=None) -> Tensor",
            lambda q, k, v, *_: q.new_empty(*q.shape[:-1], v.shape[-1]),
        ),
        # x (N, D), experts and weights of each token (N, k), matrices (E, out, in), (E, D, inner);
        # clamped: gate and up are interleaved, and numbers of their function (alpha, limit)
        "experts": (
            "(Tensor x, Tensor index, Tensor weights, Tensor up, Tensor down, Tensor? up_bias,"
            " Tensor? down_bias, str act, float[]? clamped) -> Tensor",
            lambda x, *_: torch.empty_like(x),
        ),
        # (1, N, D) of a token each -> (1, 1, N, N): what a model that writes out attention adds
        "causal_mask": ("(Tensor x) -> Tensor", lambda x: x.new_empty(1, 1, *x.shape[1:2] * 2)),
        # x (B, C, N), dt (B, C, N), a (C, S), b (B, S, N), c (B, S, N), d (C), z (B, C, N)
        "scan": (
            "(Tensor x, Tensor dt, Tensor a, Tensor b, Tensor c, Tensor? d, Tensor? z,"
            " Tensor? bias, bool softplus) -> Tensor",
            lambda x, dt, a, b, c, d, z, bias, softplus: torch.empty_like(x),
        ),
        # Mamba-2: x (B, N, H, P), dt (B, N, H) and its limits, a, d and bias (H), b, c (B, N, G, S)
        "chunk_scan": (
            "(Tensor x, Tensor dt, Tensor a, Tensor b, Tensor c, Tensor? d, Tensor? bias,"
            " float[] limit) -> Tensor",
            lambda x, *_: torch.empty_like(x),
        ),
        # decay and bonus (C,), keys and values (B, N, C): RWKV-4
        "sums": (
            "(Tensor decay, Tensor first, Tensor key, Tensor value) -> Tensor",
            lambda decay, first, key, value: torch.empty_like(key),
        ),
        # two (B, 4, P) of four-vectors -> (B, 4, P)
        "pair_features": (
            "(Tensor i, Tensor j) -> Tensor",
            lambda i, j: torch.empty_like(i),
        ),
    }
    for name, (schema, fake) in schemas.items():
        library.define(name + schema)
        torch.library.register_fake(f"{NAME}::{name}", fake, lib=library)
    _LIBRARIES.append(library)  # operators live as long as their library
    return torch.ops.hyflexsim


_LIBRARIES: list[Any] = []


class Exported(NamedTuple):
    """An ExportedProgram; ``sources``: its inputs that an encoder beside a decoder reads."""

    program: Any
    sources: frozenset[str]


def export(model: Any, inputs: Mapping[str, Shape] | None, name: str) -> Exported:
    """``model`` exported, symbolic in the token count.

    ``inputs``: shape of each argument of ``forward``, with "N" for the token axis ("S" for that of
    an encoder beside a decoder), such as ``{"input_ids": (1, "N")}``; None for transformers models
    and ParT, which tell themselves.
    Two-dimensional arguments are token ids (int64), others float32.

    Raises InputError if the model cannot be run or exported, with the first line of the reason.
    """
    import torch  # noqa: PLC0415

    shapes, fixed = (dict(inputs), {}) if inputs is not None else _inputs_of(model, name)
    device = next((p.device for p in model.parameters()), torch.device("meta"))
    tokens = _example_tokens(model)
    example: dict[str, Any] = dict(fixed)
    dynamic: dict[str, Any] = dict.fromkeys(fixed)
    for key, shape in shapes.items():
        sizes = [tokens.get(str(size)) or int(size) for size in shape]
        dtype = torch.int64 if len(shape) == 2 else torch.float32
        example[key] = torch.zeros(sizes, dtype=dtype, device=device)
        axes = {i: torch.export.Dim.DYNAMIC for i, size in enumerate(shape) if size in tokens}
        dynamic[key] = axes or None
    training = model.training
    try:
        with quiet(), _stand_ins(model), torch.no_grad():
            program = torch.export.export(
                model.eval(), (), kwargs=example, dynamic_shapes=dynamic, strict=False
            )
            gather(program, operators().attention)
            return Exported(program, _sources(shapes))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except Exception as error:  # the model's own code and the exporter raise anything
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"{name}: torch.export failed: {reason}") from error
    finally:
        model.train(training)


def _example_tokens(model: Any) -> dict[str, int]:
    """Tokens of the example input: fewer where the table of positions is short."""
    example = {"N": EXAMPLE_TOKENS, "S": EXAMPLE_SOURCE}
    limit = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if not isinstance(limit, int) or limit < 2:  # XLNet, which has no such table, says -1
        return example
    return {"N": min(EXAMPLE_TOKENS, limit // 2), "S": min(EXAMPLE_SOURCE, limit // 2 + 1)}


def _sources(shapes: Mapping[str, Shape]) -> frozenset[str]:
    """Inputs of an encoder beside a decoder: those of "S" tokens, or all that are fixed there."""
    symbolic = frozenset(key for key, shape in shapes.items() if "S" in shape)
    decoder = {key for key in shapes if key.startswith("decoder_")}
    return symbolic or frozenset(shapes.keys() - decoder if decoder else ())


def _inputs_of(model: Any, name: str) -> tuple[dict[str, Shape], dict[str, Any]]:
    """Arguments of ``forward`` with a shape, and those with a fixed value."""
    config = getattr(model, "config", None)
    if _is_part(model):
        v: dict[str, Shape] = {} if model.pair_embed is None else {"v": (1, 4, "N")}
        return {"x": (1, model.embed.input_bn.num_features, "N")} | v, {}
    main = getattr(model, "main_input_name", None)
    if config is None or main not in ("input_ids", "pixel_values", "input_features"):
        raise InputError(
            f"{name}: inputs must give the shape of each argument of forward, 'N' for the token "
            f'axis, such as {{"x": (1, "N", 64)}}; only transformers models of text and images and '
            "ParT are known without"
        )
    if main == "input_features" and hasattr(config, "max_source_positions"):
        frames = 2 * config.max_source_positions  # the second convolution takes every other one
        sound: Shape = (1, config.num_mel_bins, frames)
        return {"input_features": sound, "decoder_input_ids": (1, "N")}, {"use_cache": False}
    if main == "pixel_values":
        size = getattr(config, "image_size", 224)
        high, wide = size if isinstance(size, list | tuple) else (size, size)
        return {"pixel_values": (1, getattr(config, "num_channels", 3), high, wide)}, {}
    if getattr(config, "is_encoder_decoder", False):
        return {"input_ids": (1, "S"), "decoder_input_ids": (1, "N")}, {"use_cache": False}
    return {"input_ids": (1, "N")}, _without_cache(model)


def _without_cache(model: Any) -> dict[str, Any]:
    """What asks for no cache, which would be one more output: generative models take it."""
    import inspect  # noqa: PLC0415

    arguments = inspect.signature(model.forward).parameters
    if "use_mems" in arguments:  # XLNet's name for it
        return {"use_mems": False}
    return {"use_cache": False} if "use_cache" in arguments or model.can_generate() else {}


def _is_part(model: Any) -> bool:
    part = sys.modules.get("hyflexsim.models.part.transformer")
    return part is not None and isinstance(model, part.ParticleTransformer)


@contextmanager
def _stand_ins(model: Any) -> Iterator[None]:
    """Put the custom operators in place; restore everything afterwards."""
    ops = operators()
    with ExitStack() as stack:
        if _is_part(model):

            def attend(q: Any, k: Any, v: Any, bias: Any = None, *_: Any, **__: Any) -> Any:
                return ops.attention(q, k, v, bias, False, None, None, None, None)

            models = "hyflexsim.models"
            stack.enter_context(mock.patch(f"{models}.part.attention.attention", attend))
            stack.enter_context(mock.patch(f"{models}.part.pairs.pair_features", ops.pair_features))
        elif hasattr(model, "set_attn_implementation"):
            stack.enter_context(_transformers_attention(model))
            family_patches.apply(model, ops, stack)
            module = sys.modules[type(model).__module__]
            if not getattr(model, "_supports_attention_backend", False) and hasattr(
                module, "create_causal_mask"
            ):
                stack.enter_context(mock.patch.object(module, "create_causal_mask", _mask))
            if hasattr(module, "mamba_selective_scan"):
                stack.enter_context(mock.patch.object(module, "mamba_selective_scan", _scan))
            if hasattr(module, "mamba2_chunk_scan"):
                stack.enter_context(mock.patch.object(module, "mamba2_chunk_scan", _chunk_scan))
            if hasattr(module, "rwkv_linear_attention"):
                stack.enter_context(mock.patch.object(module, "rwkv_linear_attention", _sums))
        yield


@contextmanager
def _transformers_attention(model: Any) -> Iterator[None]:
    from transformers import AttentionInterface  # noqa: PLC0415
    from transformers.masking_utils import AttentionMaskInterface  # noqa: PLC0415

    AttentionInterface.register(NAME, _attention)
    asked: set[int] = set()

    def no_mask(*_: Any, local_size: int | None = None, **__: Any) -> None:
        asked.update([] if local_size is None else [local_size])

    AttentionMaskInterface.register(NAME, no_mask)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    _WINDOWS.clear()
    try:
        yield
    finally:
        model.set_attn_implementation(before)
    if asked and not _WINDOWS:
        raise InputError(
            f"{type(model).__name__}: masks attention within {min(asked)} tokens, which none of "
            "its layers names (allowed: sliding_window)"
        )


_WINDOWS: set[int] = set()
"""Windows that layers named during an export."""


def _attention(  # the signature of transformers' attention functions
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """One node; scaling folds into Q."""
    if others.get("position_bias") is not None:
        attention_mask = others["position_bias"]
    causal = getattr(module, "is_causal", None) if is_causal is None else is_causal
    if causal is None:
        raise InputError(f"{type(module).__name__}: is_causal must be set; the module has none")
    window = None
    if sliding_window is not None:  # its own token is one of them, on either side
        _WINDOWS.add(sliding_window)
        window = [sliding_window - 1, 0 if causal else sliding_window - 1]
    how = (attention_mask, causal, window, scaling, others.get("softcap"), others.get("s_aux"))
    result = operators().attention(query, key, value, *how)
    return result.transpose(1, 2), None


def _chunk_scan(  # the signature of transformers' mamba2_chunk_scan
    x: Any,
    dt: Any,
    A: Any,
    B: Any,
    C: Any,
    *,
    D: Any = None,
    dt_bias: Any = None,
    dt_limit: tuple[float, float] = (0.0, math.inf),
    **_: Any,
) -> Any:
    return operators().chunk_scan(x, dt, A, B, C, D, dt_bias, list(dt_limit))


def _sums(  # the signature of transformers' rwkv_linear_attention
    time_decay: Any, time_first: Any, key: Any, value: Any, **_: Any
) -> tuple[Any, None]:
    return operators().sums(time_decay, time_first, key, value), None


def _mask(*_: Any, inputs_embeds: Any, **__: Any) -> Any:
    """Stands for transformers' ``create_causal_mask`` where a model adds the mask itself."""
    return operators().causal_mask(inputs_embeds)


def _scan(  # the signature of transformers' mamba_selective_scan
    hidden_states: Any,
    dt: Any,
    A: Any,
    B: Any,
    C: Any,
    D: Any = None,
    z: Any = None,
    delta_bias: Any = None,
    delta_softplus: bool = False,
    **_: Any,
) -> Any:
    return operators().scan(hidden_states, dt, A, B, C, D, z, delta_bias, delta_softplus)
