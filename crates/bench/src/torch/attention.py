"""Attention's ways: PyTorch's own, and those of other packages if they can be imported. A part of peer.py."""

import importlib

# Others' attention: its name in the table, and the module that it comes from.
PACKAGES = {
    "flash_attn": "flash_attn",
    "flash_attn 3": "flash_attn_interface",
    "flash_attn 4": "flash_attn.cute",
    "xformers": "xformers.ops",
}


def backends():
    """The backends of PyTorch's own function; each is asked whether it takes the case when it is prepared."""
    from torch.nn.attention import SDPBackend

    known = {"flash": "FLASH_ATTENTION", "math": "MATH"}
    if State.device.type == "cuda":
        known |= {"efficient": "EFFICIENT_ATTENTION", "cudnn": "CUDNN_ATTENTION"}
    return {f"torch sdpa {name}": getattr(SDPBackend, at) for name, at in known.items() if hasattr(SDPBackend, at)}


def attention_names(compiled):
    """Who takes part; packages that are not there in one line, what fails to be imported in a line each."""
    found, absent, broken = ["torch sdpa", *backends()], [], []
    for name, module in PACKAGES.items():
        try:
            importlib.import_module(module)
            found.append(name)
        except Exception as error:  # any failure to import is told, whatever it is
            if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
                absent.append(module)
            else:
                broken.append(f"without {module}: {sentence(error)}")
    if compiled:
        found += [COMPILED + "sdpa", COMPILED + "flex_attention"]
    left_out = [f"beside PyTorch there is no {', '.join(absent)}"] if absent else []
    return found, left_out + broken


def attention(case):
    """q, k and v are (B, T, H, D); PyTorch's functions take (B, H, T, D), as views."""
    causal, scale = bool(case.letters["causal"]), case.attributes["scale"]
    shared = case.letters["H"] != case.letters["Hkv"]
    if case.name.startswith("flash_attn"):
        function = importlib.import_module(PACKAGES[case.name]).flash_attn_func

        def flash(q, k, v):
            out = function(q, k, v, softmax_scale=scale, causal=causal)
            # Some versions also give the logarithms of the sums.
            return out[0] if isinstance(out, tuple) else out

        return flash
    if case.name == "xformers":
        return xformers_attention(causal, scale, case.letters["Hkv"])
    if case.name.endswith("flex_attention"):
        return flex_attention(case, causal, scale, shared)
    backend = backends().get(case.name)

    def sdpa(q, k, v):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale, enable_gqa=shared)
        return out.transpose(1, 2)

    if backend is None:
        return sdpa
    from torch.nn.attention import sdpa_kernel

    def only(q, k, v):
        with sdpa_kernel(backend):
            return sdpa(q, k, v)

    return only


def xformers_attention(causal, scale, kv_heads):
    """Heads that share keys are an axis of their own there: (B, T, Hkv, H / Hkv, D)."""
    ops = importlib.import_module("xformers.ops")
    bias = ops.LowerTriangularMask() if causal else None

    def attend(q, k, v):
        b, t, heads, width = q.shape
        if heads == kv_heads:
            return ops.memory_efficient_attention(q, k, v, attn_bias=bias, scale=scale)
        q = q.view(b, t, kv_heads, heads // kv_heads, width)
        k, v = (x.unsqueeze(3).expand_as(q) for x in (k, v))
        return ops.memory_efficient_attention(q, k, v, attn_bias=bias, scale=scale).view(b, t, heads, width)

    return attend


def flex_attention(case, causal, scale, shared):
    """A Triton kernel that torch.compile writes around the mask; C++ on a CPU."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def sees(batch, head, row, column):
        return row >= column

    time = case.letters["T"]
    mask = create_block_mask(sees, None, None, time, time, device=State.device) if causal else None

    def attend(q, k, v):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return flex_attention(q, k, v, block_mask=mask, scale=scale, enable_gqa=shared).transpose(1, 2)

    return attend
