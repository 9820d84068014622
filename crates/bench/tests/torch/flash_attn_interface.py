def flash_attn_func(q, k, v, softmax_scale, causal):
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")
