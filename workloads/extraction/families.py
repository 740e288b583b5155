"""Families of models that people bring: what is exact of each, what is not, and small examples.

One table for two readers: ``hyflexsim models`` prints it, and ``test_families.py`` among the tests
of this folder holds each line to it. ``exact``: parameters and multiply-accumulates equal torch's
own counters plus attention in closed form, at two sizes and two lengths. ``approximate``: the same
counts, with a simplification in time that ``says`` names. ``refused``: by the text that ``says``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Config = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """One line of the table.

    ``configs``: two small configurations. ``executed``: a random model of it, played in numbers,
    equals torch (``tests/workloads/values/test_families.py``).
    """

    what: str
    state: Literal["exact", "approximate", "refused"]
    says: str
    configs: tuple[Config, Config]
    executed: bool = True


def _two(model_type: str, first: Config, **second: Any) -> tuple[Config, Config]:
    own = {"model_type": model_type} | first
    return own, own | second


_TINY: Config = {
    **{"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"intermediate_size": 48, "max_position_embeddings": 64, "initializer_range": 0.2},
}
_SPECIAL: Config = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_GROUPED: Config = _TINY | {"num_key_value_heads": 2, "head_dim": 8}
_LARGER: Config = {"hidden_size": 40, "num_hidden_layers": 3, "intermediate_size": 56}
_BART: Config = {
    **{"vocab_size": 50, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "init_std": 0.2},
    **{"encoder_attention_heads": 4, "decoder_attention_heads": 2, "max_position_embeddings": 64},
    **{"encoder_ffn_dim": 48, "decoder_ffn_dim": 40},
}
_SMALL_BART: Config = {"d_model": 24, "encoder_layers": 1, "decoder_layers": 3}
_T5: Config = {
    "vocab_size": 50,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
}


def _for(cls: str, config: Config) -> Config:
    return config | {"architectures": [cls]}


FAMILIES: dict[str, Family] = {
    "t5": Family(
        "T5: encoder and decoder, trained bias of distances",
        "exact",
        "the encoder's keys are written once and read by every token of the decoder",
        _two("t5", _for("T5ForConditionalGeneration", _T5), d_model=40, num_layers=3, d_kv=4),
    ),
    "bart": Family(
        "BART: encoder and decoder",
        "exact",
        "the encoder's keys are written once and read by every token of the decoder",
        _two("bart", _for("BartForConditionalGeneration", _BART), **_SMALL_BART),
    ),
    "mistral": Family(
        "Mistral: sliding window",
        "exact",
        "a query looks at the last sliding_window tokens, itself one of them",
        _two(
            "mistral",
            _for("MistralForCausalLM", _GROUPED | {"sliding_window": 5}),
            sliding_window=9,
        ),
    ),
    "gemma3_text": Family(
        "Gemma 3: sliding windows, global layers between",
        "exact",
        "five layers of a window and one of the whole context, by layer_types",
        _two(
            "gemma3_text",
            _for("Gemma3ForCausalLM", _GROUPED | {"sliding_window": 5, "num_hidden_layers": 6}),
            sliding_window=9,
            num_hidden_layers=7,
        ),
    ),
    "modernbert": Family(
        "ModernBERT: windows to both sides, global layers between",
        "exact",
        "a token looks at local_attention / 2 tokens to either side",
        _two(
            "modernbert",
            _TINY
            | {"local_attention": 6, "num_hidden_layers": 3, "initializer_cutoff_factor": 2.0}
            | _SPECIAL
            | {"cls_token_id": 1, "sep_token_id": 2},
            local_attention=10,
            num_hidden_layers=4,
        ),
    ),
}
"""By name, mostly the ``model_type`` of its configuration."""
