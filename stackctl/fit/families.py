"""Families of models by what their layers keep, under the `model_type` of their configuration."""

PLAIN = frozenset(
    {
        *("apertus", "arcee", "cohere", "exaone", "gemma", "gpt2", "gpt_neox", "minimax_m2", "opt"),
        *("ernie4_5", "ernie4_5_moe", "glm", "glm4", "glm4_moe", "granite", "granitemoe"),
        *("hunyuan_v1_dense", "hunyuan_v1_moe", "internlm2", "internlm3", "llama"),
        *("mistral", "mistral3", "mixtral", "olmo", "olmo2", "olmoe", "phi", "phi3", "phimoe"),
        *("qwen2", "qwen2_moe", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"),
        *("qwen3", "qwen3_moe", "qwen3_vl_text", "qwen3_vl_moe_text"),
        *("seed_oss", "smollm3", "stablelm", "starcoder2"),
    }
)
"""Every layer keeps a key and a value of each token, and nothing else."""

LATENT = frozenset(
    {
        *("deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa"),
        *("kimi_k2", "kimi_linear", "longcat_flash", "pangu_ultra_moe"),
    }
)
"""Multi-head latent attention, as `is_deepseek_mla` of vLLM 0.32 has them."""

ENCODERS = frozenset(
    {
        *("bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "gte", "modernbert"),
        *("mpnet", "new", "nomic_bert", "roberta", "xlm-roberta"),
    }
)
"""They read a text once and keep nothing."""

UNLIKE = ("compress_ratios", "block_configs", "num_kv_shared_layers", "index_topk", "is_encoder_decoder")
"""Settings of families whose cache is of another make than reckoned here."""
