"""Families of models that people bring: what is exact of each, what is not, and small examples.

One table for two readers: ``hyflexsim models`` prints it, and ``test_families.py`` among the tests
of this folder holds each line to it. ``exact``: parameters and multiply-accumulates equal torch's
own counters plus attention in closed form, at two sizes and two lengths. ``approximate``: the same
counts, with a simplification in time that ``says`` names. ``refused``: by the text that ``says``.
What is not refused is executed, too: a random model, played in numbers, equals torch
(``tests/workloads/values/test_families.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Config = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """One line of the table; ``configs``: two small configurations."""

    what: str
    state: Literal["exact", "approximate", "refused"]
    says: str
    configs: tuple[Config, Config]


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
_MANY: Config = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_OSS: Config = {
    **{"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5},
    "swiglu_limit": 0.5,  # within what a random model computes
}
_DEEPSEEK: Config = _TINY | {
    **{"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_group": 2},
    **{"topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 12, "kv_lora_rank": 8},
    **{"qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "num_key_value_heads": 4},
}
_JAMBA: Config = _GROUPED | {
    **{"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2},
    **{"expert_layer_period": 2, "mamba_d_state": 4, "mamba_dt_rank": 3},
    "use_mamba_kernels": False,
}
_MAMBA2: Config = {
    **{"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    **{"num_heads": 8, "head_dim": 8, "expand": 2, "n_groups": 2, "chunk_size": 4},
}
_DEBERTA: Config = {
    **{"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]},
    **{"norm_rel_ebd": "layer_norm", "share_att_key": True, "type_vocab_size": 0},
}
_SWIN: Config = {
    **{"image_size": 16, "patch_size": 2, "embed_dim": 12, "depths": [2, 1], "num_heads": [1, 2]},
    **{"window_size": 4, "initializer_range": 0.2},
}
_XLNET: Config = {
    **{"vocab_size": 50, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48},
    "initializer_range": 0.2,
}
_RWKV: Config = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2}
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
    "deit": Family(
        "DeiT: a class token and one of distillation",
        "exact",
        "both come before the patches",
        _two("deit", _for("DeiTForImageClassification", _VIT), hidden_size=40, image_size=16),
    ),
    "dinov2-registers": Family(
        "DINOv2 with registers",
        "approximate",
        "counts are exact; registers come between class token and patches, and what follows waits "
        "for all patches",
        _two(
            "dinov2_with_registers",
            _VIT | {"num_register_tokens": 4, "use_mask_token": False},
            hidden_size=40,
            image_size=16,
            num_register_tokens=2,
        ),
    ),
    "siglip": Family(
        "SigLIP, the image tower",
        "exact",
        "patches, and a trained query that reads them all",
        _two("siglip_vision_model", _VIT, hidden_size=40, image_size=16),
    ),
    "mixtral": Family(
        "Mixtral: two of so many experts",
        "exact",
        "tokens are sent to experts by a draw, or as a table says (sim/routing.py); each expert is "
        "a unit of placement",
        _two(
            "mixtral",
            _for("MixtralForCausalLM", _GROUPED | {"num_local_experts": 4}),
            num_local_experts=6,
            num_experts_per_tok=3,
        ),
    ),
    "qwen3_moe": Family(
        "Qwen3-MoE: many small experts",
        "exact",
        "as Mixtral",
        _two(
            "qwen3_moe",
            _for("Qwen3MoeForCausalLM", _GROUPED | _MANY),
            num_experts=8,
            num_experts_per_tok=3,
        ),
    ),
    "deepseek_v3": Family(
        "DeepSeek-V3: latent attention, a shared expert, groups of experts",
        "exact",
        "keys and values are made of their latent once a token and kept whole",
        _two(
            "deepseek_v3",
            _for("DeepseekV3ForCausalLM", _DEEPSEEK),
            num_hidden_layers=3,
            q_lora_rank=16,
        ),
    ),
    "jamba": Family(
        "Jamba: scans, attention and experts in one model",
        "exact",
        "a scan keeps its own state; tokens are sent to experts as in Mixtral",
        _two("jamba", _for("JambaForCausalLM", _JAMBA), num_experts=3, mamba_d_state=6),
    ),
    "mamba2": Family(
        "Mamba-2: a decay a head",
        "exact",
        "a scan of its own state size; three products a state as in Mamba, not the chunked form",
        _two("mamba2", _for("Mamba2ForCausalLM", _MAMBA2), num_hidden_layers=3, state_size=6),
    ),
    "gpt_oss": Family(
        "GPT-OSS: experts with gate and up interleaved",
        "exact",
        "as Mixtral; gate and up are clamped; a trained score of no token, a head",
        _two(
            "gpt_oss",
            _for("GptOssForCausalLM", _GROUPED | _OSS),
            num_local_experts=3,
            sliding_window=9,
        ),
    ),
    "deberta-v2": Family(
        "DeBERTa-v2, v3: disentangled attention",
        "exact",
        "the table of distances is projected and multiplied once a request, as torch does; finding "
        "a pair's distance there costs nothing",
        _two("deberta-v2", _TINY | _DEBERTA, **_LARGER, share_att_key=False),
    ),
    "deberta": Family(
        "DeBERTa (v1): as many distances as tokens",
        "refused",
        "module 'encoder.layer.0.attention.self.pos_proj': operator aten.linear.default reads so "
        "many rows of a table as there are tokens",
        _two("deberta", _TINY | {"relative_attention": True, "pos_att_type": ["c2p"]}, **_LARGER),
    ),
    "swin": Family(
        "Swin: shifted windows of an image",
        "exact",
        "all pairs of a window are multiplied, as torch does, also those that a shift has brought "
        "together; windows that do not fill the image are refused",
        _two(
            "swin",
            _for("SwinForImageClassification", _SWIN),
            image_size=32,
            depths=[1, 2],
            num_heads=[2, 4],
        ),
    ),
    "xlnet": Family(
        "XLNet: positions relative to each token",
        "exact",
        "one text, no second segment, no memory of the text before; each token brings two of the "
        "2 N distances that torch multiplies",
        _two("xlnet", _XLNET, d_model=40, n_layer=3, n_head=4, d_inner=56),
    ),
    "rwkv": Family(
        "RWKV-4: a recurrence of two sums",
        "approximate",
        "counts are exact but for the recurrence: three products for each of two sums a channel, "
        "without its exponentials; torch halves every sixth layer for the range of FP16, which is "
        "left out",
        _two("rwkv", _for("RwkvForCausalLM", _RWKV), num_hidden_layers=3, hidden_size=24),
    ),
}
"""By name, mostly the ``model_type`` of its configuration."""
