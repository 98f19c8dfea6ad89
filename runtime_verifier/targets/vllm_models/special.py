"""What the configuration of an architecture needs beyond rules: one table, each entry with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from vllm_lint.runtime_verifier.targets.vllm_models.shrink import MAX_POSITION, VOCABULARY

JSON = dict[str, Any]


@dataclass(frozen=True)
class Special:
    """Values for the architectures whose whole name matches."""

    names: str
    reason: str
    values: JSON = field(default_factory=dict)
    model_type: str | None = None
    """The model type whose class to take, where the name of the architecture leads elsewhere or nowhere."""
    replaced: JSON = field(default_factory=dict)
    """Values that take the place of whole parts; `...` leaves the key out."""
    required: JSON = field(default_factory=dict)
    """What the class has to be given to be made at all."""
    class_name: str | None = None
    """What vLLM wants a class to be called that has to be made up."""


_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_LANGUAGE: JSON = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": VOCABULARY,
    "hidden_size": 192,
    "intermediate_size": 320,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 32,
    "max_position_embeddings": MAX_POSITION,
    "rope_parameters": _ROPE,
}
_INTERN_VIT: JSON = {
    "architectures": ["InternVisionModel"],
    "model_type": "intern_vit_6b",
    "hidden_size": 160,
    "intermediate_size": 288,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "image_size": 84,
    "patch_size": 14,
    "num_channels": 3,
    "qkv_bias": True,
    "qk_normalization": False,
    "norm_type": "layer_norm",
    "layer_norm_eps": 1e-6,
    "hidden_act": "gelu",
    "initializer_factor": 1.0,
    "attention_dropout": 0.0,
}
_SIGLIP: JSON = {
    "model_type": "siglip_vision_model",
    "hidden_size": 160,
    "intermediate_size": 288,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "image_size": 84,
    "patch_size": 14,
    "num_channels": 3,
    "layer_norm_eps": 1e-6,
    "hidden_act": "gelu_pytorch_tanh",
    "attention_dropout": 0.0,
}
_INTERNVL: JSON = {
    "vision_config": _INTERN_VIT,
    "downsample_ratio": 0.5,
    "select_layer": -1,
    "ps_version": "v2",
    "force_image_size": 84,
    "dynamic_image_size": True,
    "use_thumbnail": True,
    "min_dynamic_patch": 1,
    "max_dynamic_patch": 6,
    "template": "chat",
}

SPECIAL = (
    Special(
        "Transformers(ForCausalLM|EmbeddingModel|ForSequenceClassification)", "takes any model", model_type="llama"
    ),
    Special("TransformersMoE.*", "takes any mixture of experts", model_type="qwen3_moe"),
    Special("TransformersMultiModalMoE.*", "takes any such model", model_type="qwen3_vl_moe"),
    Special("TransformersMultiModal(For|Emb).*", "takes any such model", model_type="llava"),
    Special("NanbeigeForCausalLM", "is Llama in transformers", model_type="llama"),
    Special(
        "GteModel|GteNew.*", "only knows rotary positions", {"position_embedding_type": "rope", "hidden_act": "gelu"}
    ),
    Special("GteNew.*", "has no class outside its checkpoint", class_name="NewConfig"),
    Special("ColBERTJinaRobertaModel", "only knows rotary positions", {"position_embedding_type": "rotary"}),
    Special("GteModel", "has no class outside its checkpoint", class_name="GteConfig"),
    Special("XLMRobertaModel", "vLLM reads what transformers dropped", {"position_embedding_type": "absolute"}),
    Special(
        "NomicBertModel",
        "vLLM checks the values of the checkpoint's own class",
        {
            "activation_function": "swiglu",
            "mlp_fc1_bias": False,
            "mlp_fc2_bias": False,
            "qkv_proj_bias": False,
            "rotary_emb_scale_base": None,
            "rotary_emb_interleaved": False,
            "layer_norm_epsilon": 1e-6,
            "n_inner": 320,
            "n_embd": 192,
            "n_layer": 2,
            "n_head": 6,
            "rotary_emb_fraction": 1.0,
            "rotary_emb_base": 10000,
            "max_trained_positions": MAX_POSITION,
            "moe_every_n_layers": 0,
        },
        class_name="NomicBertConfig",
    ),
    Special("LlamaBidirectional.*|LlamaNemotronVL.*", "vLLM insists on a pooling", {"pooling": "avg"}),
    Special("LlamaNemotronVL.*", "a part of its own", {"llm_config": _LANGUAGE, **_INTERNVL}),
    Special(
        "Eagle2_5_VL.*",
        "parts of its own",
        {**_INTERNVL, "text_config": _LANGUAGE, "vision_config": _SIGLIP},
    ),
    Special(
        "SkyworkR1VChatModel|H2OVLChatModel|NVLM_D|Llama_Nemotron_Nano_VL|InternVLChatModel",
        "InternVL from before transformers had it",
        {**_INTERNVL, "text_config": _LANGUAGE},
    ),
    Special(
        "NemotronH.*Omni.*|NemotronH_Nano_VL_V2",
        "parts of its own",
        {**_INTERNVL, "text_config": _LANGUAGE, "patch_size": 14, "vit_hidden_size": 160, "projector_hidden_size": 288},
    ),
    Special(
        "NemotronH.*",
        "experts without a gate only run on GPUs, so only the other kinds of layers",
        {"hybrid_override_pattern": "M-*", "layers_block_type": ["mamba", "mlp", "attention"], "num_hidden_layers": 3},
    ),
    Special("NemotronForCausalLM", "no default", {"num_key_value_heads": 3}),
    Special("HunYuan(Dense|MoE)V1ForCausalLM", "no default", {"head_dim": 32}),
    Special("HYV3.*", "the first layer is dense", {"first_k_dense_replace": 1}),
    Special(
        "Pangu.*MoE.*|OpenPanguMTPModel",
        "reads the number of experts late",
        {"n_routed_experts": 15, "first_k_dense_replace": 1},
    ),
    Special(
        "SarvamMLAForCausalLM",
        "one dense layer, and one of experts",
        {"first_k_dense_replace": 1, "num_hidden_layers": 2},
    ),
    Special(
        "DeepseekForCausalLM",
        "reads the number of experts late",
        {
            "n_routed_experts": 15,
            "n_shared_experts": 1,
            "moe_intermediate_size": 224,
            "num_experts_per_tok": 4,
            "first_k_dense_replace": 1,
            "moe_layer_freq": 1,
            "norm_topk_prob": True,
        },
        "llama",
    ),
    Special("DeepseekV4.*", "no default", {"hc_mult": 4}),
    Special("Qwen4Exp.*", "no default", {"output_gate_type": "silu"}),
    Special(
        "Lfm2ForCausalLM|Lfm2Vl.*|ColBERTLfm2Model",
        "no default",
        {"block_dim": 192, "block_ff_dim": 320, "layer_types": ["conv", "full_attention"], "full_attn_idxs": [1]},
    ),
    Special("Lfm2Vl.*", "no default", {"text_config": {"block_dim": 192, "block_ff_dim": 320}}),
    Special(
        "Lfm2MoeForCausalLM",
        "no default",
        {"layer_types": ["conv", "full_attention", "conv", "full_attention"], "num_hidden_layers": 4},
    ),
    Special(
        "ColBERTModernBertModel|Plamo3ForCausalLM",
        "no default",
        {"layer_types": ["sliding_attention", "full_attention"]},
    ),
    Special("EagleCohereForCausalLM", "no default", {"layer_types": ["sliding_attention", "full_attention"]}),
    Special("(Eagle)?MiniCPMForCausalLM", "no default", {"dim_model_base": 64}),
    Special("EagleMiniCPMForCausalLM", "no default", {"dim_model_base": 64, "scale_depth": 1.4}),
    Special("LongcatFlash.*", "no default", {"zero_expert_type": "identity", "zero_expert_num": 3}),
    Special(
        "MiMoV2.*",
        "no default",
        {
            "hybrid_layer_pattern": [0, 1, 0],
            "moe_layer_freq": [0, 1, 1],
            "num_hidden_layers": 3,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        },
    ),
    Special(
        "DeciLMForCausalLM",
        "a list of blocks of its own",
        {
            "block_configs": [
                {
                    "attention": {"no_op": False, "replace_with_linear": False, "n_heads_in_group": 2},
                    "ffn": {"no_op": False, "replace_with_linear": False, "ffn_mult": 1.5},
                },
                {
                    "attention": {"no_op": True, "replace_with_linear": False, "n_heads_in_group": None},
                    "ffn": {"no_op": False, "replace_with_linear": False, "ffn_mult": 1.5},
                },
            ]
        },
    ),
    Special("Llama4ForCausalLM|EagleLlama4.*", "the text part alone", model_type="llama4_text"),
    Special("MolmoForCausalLM", "no default", {"layer_norm_type": "rms"}),
    Special(
        "SolarForCausalLM",
        "no default",
        {"bskcn_1": [0], "bskcn_2": [1], "bskcn_3": [0], "bskcn_4": [1], "bskcn_tv": [0.9, 0.8]},
    ),
    Special("K2HorizonForCausalLM", "no default", {"layernorm_num_groups": 3}),
    Special("Step3TextForCausalLM", "a text, not a list", {"moe_layers_enum": "1"}),
    Special(
        "Step3VL.*", "no default", {"text_config": {"architectures": ["Step3TextForCausalLM"], "moe_layers_enum": "1"}}
    ),
    Special("Step3p5.*", "no default", {"max_position_embeddings": MAX_POSITION}),
    Special("VoxtralRealtimeGeneration", "no default", {"text_config": {"architectures": ["MistralForCausalLM"]}}),
    Special(
        "Voxtral.*",
        "no default",
        {"audio_config": {"sampling_rate": 16000, "downsample_factor": 4, "window_size": 400, "hop_length": 160}},
    ),
    Special(
        "DeepseekOCR.*|DeepseekVLV2.*|UnlimitedOCR.*",
        "no default",
        {
            "language_config": {
                **_LANGUAGE,
                "model_type": "deepseek_v2",
                "use_mla": False,
                "n_routed_experts": None,
                "topk_method": "greedy",
            },
            "text_config": {**_LANGUAGE, "model_type": "deepseek_v2"},
        },
    ),
    Special("LlavaOnevision2.*|Ovis|Ovis2_.*", "no default", {"text_config": _LANGUAGE, "llm_config": _LANGUAGE}),
    Special(
        "Ovis2_.*",
        "no default",
        {
            "vit_config": {
                **_SIGLIP,
                "model_type": "siglip2_navit",
                "num_patches": 36,
                "hidden_stride": 2,
                "window_size": 112,
                "fullatt_block_indexes": [1],
                "temporal_patch_size": 1,
                "preserve_original_pe": True,
                "use_rope": True,
            }
        },
    ),
    Special(
        "InklingForConditionalGeneration",
        "no default",
        {"text_config": {"shared_expert_sink": True, "n_shared_experts": 2}},
    ),
    Special("InklingMTPModel", "no default", {"mtp_config": {"num_nextn_predict_layers": 1}}),
    Special(
        "Dbrx.*",
        "its class refuses what transformers writes",
        {
            "attn_config": {"clip_qkv": 8.0, "kv_n_heads": 3, "rope_theta": 10000.0},
            "ffn_config": {"ffn_hidden_size": 320, "moe_num_experts": 15, "moe_top_k": 4},
            "d_model": 192,
            "n_heads": 6,
            "n_layers": 2,
        },
    ),
    Special("Zamba2ForCausalLM", "twice the hidden size", {"attention_hidden_size": 384, "attention_head_dim": 64}),
    Special("MiniMaxM3.*", "one index head for each of the keys", {"text_config": {"num_key_value_heads": 3}}),
    Special("MuseGlimmerFor.*", "the pixel shuffle joins four patches", {"vision_config": {"output_dim": 640}}),
    Special(
        "MiniMaxM2ForCausalLM|Param2MoEForCausalLM|LagunaForCausalLM",
        "what vLLM's router on CPUs knows",
        {"scoring_func": "softmax"},
    ),
    Special(
        "HfMoondream|Moondream3.*",
        "parts under other names",
        {
            "config": {
                "text": {
                    "dim": 192,
                    "ff_dim": 320,
                    "n_layers": 4,
                    "n_heads": 6,
                    "n_kv_heads": 6,
                    "vocab_size": VOCABULARY,
                    "max_context": MAX_POSITION,
                    "moe": {"start_layer": 2, "n_experts": 15, "n_experts_per_tok": 4, "expert_inner_dim": 224},
                },
                "vision": {
                    "enc_dim": 160,
                    "enc_n_heads": 5,
                    "enc_n_layers": 2,
                    "enc_ff_dim": 288,
                    "proj_out_dim": 192,
                    "proj_inner_dim": 320,
                },
            }
        },
    ),
    Special("DFlashLagunaForCausalLM", "no default", {"draft_vocab_size": VOCABULARY}),
    Special("Qwen3ASRRealtime.*|Qwen3ASRForced.*", "the same as without it", model_type="qwen3_asr"),
    Special("ClefOmni.*", "a thinker", model_type="qwen3_omni_moe"),
    Special(
        "CohereCompassFor.*",
        "vLLM insists on it",
        {"tie_word_embeddings": True, "text_config": {"tie_word_embeddings": True}},
    ),
    Special("Phi4ForCausalLMV", "no default", {"mm_hidden_size": 160}),
    Special("InternS2Mobius.*", "no default", {"text_config": {"num_blocks": 2}}),
    Special("Granite4Vision.*", "no default", {"deepstack_layer_map": [[0, 0]], "downsample_rate": "1/2"}),
    Special("LightOnOCR.*", "no default", {"vision_feature_layer": -1}),
    Special("FunAudioChat.*", "no default", {"audio_config": {"pad_token_id": 0}}),
    Special("H2OVLChatModel|NVLM_D|InternVLChatModel", "transformers has another", class_name="InternVLChatConfig"),
    Special("MiniCPM[OV]|PixtralForConditionalGeneration", "has no class elsewhere", class_name="MadeUpConfig"),
    Special("MiniCPMO", "parts of its own", {"audio_config": {"model_type": "whisper", "d_model": 160}}),
    Special("DeciLMForCausalLM", "has no class elsewhere", class_name="DeciLMConfig"),
    Special("ColBERTJinaRobertaModel", "has no class elsewhere", class_name="XLMRobertaFlashConfig"),
    Special("ColBERTModernBertModel", "is ModernBERT", model_type="modernbert"),
    Special("ColBERTLfm2Model", "is LFM2", model_type="lfm2"),
    Special("EagleLlama4.*", "vLLM insists on it", {"moe_layers": []}),
    Special("HunYuanVL.*", "no default", {"text_config": {"head_dim": 32}}),
    Special("ColQwen3_5", "vLLM insists on it", {"retrieval_attention_contract": "causal"}),
    Special("TransformersMultiModalForSeq.*", "takes any such model", model_type="gemma3"),
    Special(
        "Gemma3nForCausalLM",
        "layers that share keys come after those that own them",
        {
            "num_hidden_layers": 4,
            "num_kv_shared_layers": 2,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "activation_sparsity_pattern": [0.9, 0.0, 0.9, 0.0],
            "intermediate_size": [320] * 4,
        },
    ),
    Special(
        "DeepseekOCR.*|DeepseekVLV2.*|UnlimitedOCR.*",
        "no default",
        replaced={
            name: {
                **_LANGUAGE,
                "model_type": "deepseek_v2",
                "n_routed_experts": 15,
                "n_group": 5,
                "topk_group": 3,
                "num_experts_per_tok": 4,
                "moe_intermediate_size": 224,
                "first_k_dense_replace": 1,
            }
            for name in ("language_config", "text_config")
        },
    ),
    Special("NemotronH.*Omni.*|NemotronH_Nano_VL_V2", "vLLM reads it", {"text_config": {"dtype": "float32"}}),
    Special("Ovis2_.*", "a text, not a list", {"vit_config": {"fullatt_block_indexes": "1"}, "visual_vocab_size": 96}),
    Special(".*DSpark.*", "no default", {"markov_rank": 24, "target_layer_ids": [0, 1], "num_target_layers": 2}),
    Special(
        "DFlash.*|LiLiCorr.*",
        "no default",
        {
            "dflash_config": {
                "conv_kernel_size": 4,
                "conv_group_size": 32,
                "selector_rank": 24,
                "selector_top_k": 5,
                "mask_token_id": 3,
                "target_layer_ids": [0, 1],
            },
            "block_size": 7,
        },
    ),
    Special("(Eagle)?MiniCPMForCausalLM", "no default", {"scale_emb": 12, "scale_depth": 1.4}),
    Special("SolarForCausalLM", "no layer is skipped", {f"bskcn_{i}": [] for i in range(1, 5)}),
    Special("Glm5Next.*", "no default", {"rope_parameters": _ROPE, "text_config": {"rope_parameters": _ROPE}}),
    Special(
        "Step(3p7|VL).*", "no default", {"vision_config": {"use_rope2d": True, "width": 160, "heads": 5, "layers": 2}}
    ),
    Special("HfMoondream|Moondream3.*", "are made from `config`", replaced={"text_config": ..., "vision_config": ...}),
    Special(
        "DbrxForCausalLM",
        "its parts refuse what transformers writes",
        replaced={
            "attn_config": {"clip_qkv": 8.0, "kv_n_heads": 3, "rope_theta": 10000.0},
            "ffn_config": {"ffn_hidden_size": 320, "moe_num_experts": 15, "moe_top_k": 4},
        },
    ),
    Special(
        "UltravoxModel",
        "is made from `text_config`",
        {"text_config": _LANGUAGE},
        replaced={"wrapped_model_config": ...},
    ),
    Special("InternS1For.*", "height and width", {"vision_config": {"image_size": [84, 84], "patch_size": [14, 14]}}),
    Special("Param2MoEForCausalLM", "what vLLM's router on CPUs knows", {"score_function": "softmax"}),
    Special(
        "Phi3VForCausalLM",
        "CLIP of a fixed size, one layer of it",
        {"img_processor": {"layer_idx": 1, "image_dim_out": 1024, "name": "clip_vision_model", "num_img_tokens": 144}},
    ),
    Special("Llama_Nemotron_Nano_VL", "transformers builds it", {"vision_config": _SIGLIP}),
    Special("Qwen3ASRForced.*", "no default", {"thinker_config": {"classify_num": 7}}),
    Special("MossAudioModel", "no default", {"adapter_hidden_size": 288}),
    Special("MiniMaxM3.*", "read as a dictionary", {"vision_config": {"hidden_size": 160}}),
    Special("InklingForCausalLM", "no default", {"local_layer_ids": [0]}),
    Special("K2HorizonForCausalLM", "no default", {"mova_num_experts": 0}),
    Special("FunAudioChat.*", "no default", {"audio_config": {"codebook_size": 96}}),
    Special(
        "Llama4For.*",
        "the pixel shuffle joins four patches",
        {
            "vision_config": {
                "intermediate_size": 640,
                "projector_input_dim": 288,
                "projector_output_dim": 288,
                "vision_output_dim": 288,
            }
        },
    ),
    Special(
        "PixtralForConditionalGeneration",
        "has no class elsewhere",
        {
            "text_config": _LANGUAGE,
            "vision_config": {
                **_SIGLIP,
                "rope_theta": 10000.0,
                "image_token_id": 5,
                "spatial_merge_size": 2,
                "mm_projector_id": "patch_merge",
            },
        },
    ),
    Special(
        "HunYuanVL.*",
        "no default",
        {"text_config": {"head_dim": 32, "rope_parameters": {**_ROPE, "mrope_section": [4, 4, 4, 4]}}},
    ),
    Special(
        "Phi3VForCausalLM",
        "no default",
        {
            "embd_layer": {
                "use_hd_transform": True,
                "with_learnable_separator": True,
                "hd_transform_order": "sub_glb",
                "projection_cls": "mlp",
            }
        },
    ),
    Special("Plamo3ForCausalLM", "a list, one for each layer", {"interleaved_sliding_window": [128, None]}),
    Special(
        "DeepseekOCR.*|DeepseekVLV2.*|UnlimitedOCR.*", "is made from language_config", replaced={"text_config": ...}
    ),
    Special(
        "BailingMoeV3For.*|BailingMoeV3MTP.*",
        "what vLLM supports",
        {"no_kda_lora": True, "layer_group_size": 2, "num_hidden_layers": 4},
    ),
    Special("Molmo2.*", "height and width", {"vit_config": {"image_default_input_size": [84, 84]}}),
    Special(
        "NemotronH.*Omni.*|NemotronH_Nano_VL_V2|NemotronParse.*",
        "the smallest encoder that RADIO knows by name",
        {
            "vision_config": {
                "args": {"model": "vit_small_patch16_224"},
                "patch_size": 16,
                "preferred_resolution": [64, 64],
                "video_temporal_patch_size": 1,
            },
            "norm_mean": [0.5, 0.5, 0.5],
            "norm_std": [0.5, 0.5, 0.5],
            "vit_hidden_size": 384,
        },
        class_name="NemotronNanoVLConfig",
    ),
    Special(
        "MiniCPMO",
        "vLLM tells it by this",
        {
            "version": 2.6,
            "audio_config": {
                "encoder_attention_heads": 5,
                "encoder_ffn_dim": 288,
                "encoder_layers": 2,
                "max_source_positions": 96,
            },
        },
    ),
    Special("DeepseekOCR.*|UnlimitedOCR.*", "no default", {"tile_tag": "2D"}),
    Special("EagleLlama4.*", "no default", {"draft_vocab_size": VOCABULARY}),
    Special("NemotronParse.*", "parts of its own", {"encoder": {"args": {"model": "vit_small_patch16_224"}}}),
    Special("StepVL.*", "no default", {"text_config": {"architectures": ["Qwen3ForCausalLM"]}}),
    Special("DeepseekV4For.*", "one for each layer", {"compress_ratios": [4, 128]}),
    Special("DFlashLaguna.*", "no default", {"layer_types": ["full_attention"] * 2}),
    Special("DeepseekOCR2.*", "the same parts as the first", model_type="deepseek_vl_v2"),
    Special("DeepseekV4For.*", "no default", {"index_n_heads": 4, "index_head_dim": 64, "compress_ratios": [4, 4]}),
    Special(
        "SarvamMLA.*",
        "reads it under another name",
        {"num_experts": 15, "moe_intermediate_size": 224, "num_shared_experts": 1},
    ),
    Special("PanguUltraMoE.*", "vLLM tells it by this", {"model_type": "pangu_ultra_moe"}),
    Special(
        "Ernie4_5_VL.*",
        "lists, for text and for images",
        {
            "moe_num_experts": [15, 15],
            "moe_intermediate_size": [224, 224],
            "moe_layer_start_index": [1, 1],
            "moe_layer_end_index": [1, 1],
            "moe_k": 4,
            "moe_layer_interval": 1,
        },
    ),
    Special("Molmo2.*", "no default", {"adapter_config": {"vit_layers": [-1, -2]}}),
    Special(
        "Ovis",
        "no default",
        {
            "visual_tokenizer_config": {
                "backbone_config": _SIGLIP,
                "vocab_size": 96,
                "hidden_stride": 1,
                "tokenize_function": "softmax",
                "depths": None,
                "drop_cls_token": False,
                "use_indicators": False,
            }
        },
    ),
    Special("MiMoV2Omni.*", "no default", {"vision_config": {"qk_channels": 32}}),
    Special("FunAudioChat.*", "no default", {"audio_config": {"codebook_size": 96, "group_size": 5}}),
    Special(
        "K3DSparkModel", "its class insists on them", required={"target_layer_ids": [0, 1], "num_target_layers": 2}
    ),
    Special("K3DSparkModel", "its class insists on it", {"draft_vocab_size": VOCABULARY}),
    Special("MiMoV2Omni.*", "reads the number of experts late", {"n_routed_experts": 15}),
    Special("Molmo2.*", "no default", {"vit_config": {"image_patch_size": 14, "image_num_pos": 37}}),
    Special(
        "Ovis",
        "no default",
        {"visual_tokenizer_config": {"model_type": "siglip_visual_tokenizer", "backbone_kwargs": {}}},
    ),
    Special("MiMoV2Omni.*", "one for each layer", {"vision_config": {"vit_window_attn_types": [-1, 1]}}),
    Special(
        "Ovis", "no default", {"hidden_size": 192, "visual_tokenizer_config": {"backbone_config": {"hidden_size": 160}}}
    ),
    Special(
        "Molmo2.*",
        "the language model, with names of its own",
        {"text_config": _LANGUAGE | {"model_type": "molmo2_text", "rope_theta": 10000.0, "additional_vocab_size": 64}},
    ),
    Special("InternS1For.*", "the language model", {"text_config": _LANGUAGE}),
    Special("Llama_Nemotron_Nano_VL", "no default", {"vit_hidden_size": 160, "projector_hidden_size": 288}),
    Special("K2Horizon.*", "the gate that it knows", {"attention_gate_func": "softplus"}),
    Special(
        "InternS1For.*", "no default", {"vision_config": {"norm_type": "layer_norm", "layer_scale_init_value": 0.1}}
    ),
    Special(
        "LiLiCorr.*",
        "no default",
        {
            "dflash_config": {
                "lilicorr_hidden_size": 96,
                "lilicorr_candidate_topk": 4,
                "lilicorr_num_heads": 3,
                "lilicorr_mlp_ratio": 2,
                "lilicorr_factor_dim": 24,
                "lilicorr_vector_eps": 1e-6,
                "lilicorr_logit_scale": 1.0,
                "lilicorr_num_layers": 2,
            }
        },
    ),
)


def special(architecture: str) -> list[Special]:
    """The entries for an architecture; of two that set the same, the later counts."""
    return [entry for entry in SPECIAL if re.fullmatch(entry.names, architecture)]


def required(entries: list[Special]) -> JSON:
    """What the class of a configuration cannot do without."""
    return {key: value for entry in entries for key, value in entry.required.items()}


def apply(config: JSON, entries: list[Special]) -> JSON:
    """A copy of a configuration with everything that entries say."""
    for entry in entries:
        config = merged(config, entry.values) | entry.replaced
    return {key: value for key, value in config.items() if value is not ...}


def merged(config: JSON, values: JSON) -> JSON:
    """A copy of `config` with `values` in it; parts are merged."""
    result = dict(config)
    for key, value in values.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
