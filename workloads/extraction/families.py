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
_WHISPER: Config = _SPECIAL | {
    **{"num_mel_bins": 6, "max_source_positions": 14, "max_target_positions": 40},
    "decoder_start_token_id": 1,
}
_BLOOM: Config = {
    **{"vocab_size": 50, "hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.2}
}
_FALCON: Config = {
    **{"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "initializer_range": 0.2,
}
_GPTJ: Config = {
    **{"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    **{"n_positions": 64, "initializer_range": 0.2},
}
_VIT: Config = {
    **{"image_size": 12, "patch_size": 4, "hidden_size": 32, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "intermediate_size": 48},
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
    "whisper": Family(
        "Whisper: sound to an encoder, text from a decoder",
        "exact",
        "2 max_source_positions frames; the two convolutions are matrices on three neighbours each",
        _two(
            "whisper",
            _for("WhisperForConditionalGeneration", _BART | _WHISPER),
            d_model=24,
            decoder_layers=3,
            max_source_positions=9,
        ),
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
    "gemma2": Family(
        "Gemma 2: capped scores, windows in every other layer",
        "exact",
        "a cap on scores is an element-wise op of each, as is the one on the logits",
        _two(
            "gemma2",
            _for("Gemma2ForCausalLM", _GROUPED | {"sliding_window": 5}),
            **_LARGER,
            sliding_window=9,
        ),
    ),
    "bloom": Family(
        "BLOOM: alibi",
        "exact",
        "alibi is known before a token arrives: one sum a score",
        _two("bloom", _for("BloomForCausalLM", _BLOOM), hidden_size=40, n_layer=3, n_head=2),
    ),
    "falcon": Family(
        "Falcon: one head of keys and values for all queries",
        "exact",
        "keys and values are written once for all heads",
        _two(
            "falcon",
            _for("FalconForCausalLM", _FALCON),
            new_decoder_architecture=True,
            num_kv_heads=2,
            bias=True,
        ),
    ),
    "falcon-alibi": Family(
        "Falcon with alibi",
        "exact",
        "alibi is known before a token arrives: one sum a score",
        _two("falcon", _for("FalconForCausalLM", _FALCON | {"alibi": True}), multi_query=False),
    ),
    "gptj": Family(
        "GPT-J: rotary positions of some columns, attention beside the feed-forward part",
        "exact",
        "attention that is written out operator by operator is recognised",
        _two("gptj", _for("GPTJForCausalLM", _GPTJ), n_embd=40, n_head=2, n_layer=3),
    ),
    "clip": Family(
        "CLIP, the image tower",
        "exact",
        "patches and a class token",
        _two("clip_vision_model", _VIT, hidden_size=40, image_size=16),
    ),
    "clip-text": Family(
        "CLIP, the text tower",
        "exact",
        "the pooled token is taken to be the last",
        _two("clip_text_model", _TINY | _SPECIAL, **_LARGER),
    ),
    "siglip": Family(
        "SigLIP, the image tower",
        "exact",
        "patches, and a trained query that reads them all",
        _two("siglip_vision_model", _VIT, hidden_size=40, image_size=16),
    ),
}
"""By name, mostly the ``model_type`` of its configuration."""
