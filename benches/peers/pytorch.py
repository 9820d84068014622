"""Times PyTorch on the CPU at the works of the benchmark and prints one JSON line for each.

    python benches/peers/pytorch.py [--threads 2] [--passes 3] [--only matmul] [--compile] [--list]

A line holds name, shape, peer (which of PyTorch's ways), median_ms, min_ms, n, torch. The time is that of one call, of one
training step, or of one generated token. With several passes over the list, each work keeps the pass of lowest median:
a shared machine only ever makes things slower.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

# The measured model is the one that the golden values come from.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "golden"))
from gpt import BABY, CHAR, GPT2, Cache, Gpt, adamw, train_step  # noqa: E402

PRODUCTS = [(512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (256, 384, 1536), (2048, 768, 3072), (2048, 768, 50257)]
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def works(compiled):
    """Every work as (name, shape, peer, set-up): the set-up gives the function to time."""
    for dtype, (M, K, N) in itertools.product(DTYPES, PRODUCTS):
        for way in ("mm", "linear"):
            yield f"matmul_{dtype}", f"{M}x{K}x{N}", f"torch {way}", lambda w=way, s=(M, K, N), d=dtype: product(w, *s, DTYPES[d])
    yield "softmax_fwd_f32", "4096x4096", "torch", softmax
    yield "layer_norm_fwd_f32", "8192x768", "torch", lambda: layer_norm(backward=False)
    yield "layer_norm_fwd_bwd_f32", "8192x768", "torch", lambda: layer_norm(backward=True)
    yield "cross_entropy_fwd_bwd_f32", "2048x50257", "torch", cross_entropy
    yield "attention_fwd_f32", "1x12x1024x64", "torch sdpa", lambda: attention(backward=False)
    yield "attention_fwd_bwd_f32", "1x12x1024x64", "torch sdpa", lambda: attention(backward=True)
    yield "adamw_f32", "10.75M", "torch fused", lambda: adamw_step(fused=True)
    yield "adamw_f32", "10.75M", "torch foreach", lambda: adamw_step(foreach=True)
    for name, shape, B in (("char", CHAR, 12), ("baby", BABY, 8)):
        label = f"{shape.n_layer}L{shape.n_head}H{shape.n_embd} T{shape.block_size} B{B}"
        yield f"train_step_{name}_f32", label, "torch eager", lambda s=shape, b=B: training(s, b, False)
        yield f"train_step_{name}_bf16", label, "torch autocast", lambda s=shape, b=B: training(s, b, False, bf16=True)
        if compiled:
            yield f"train_step_{name}_f32", label, "torch compile", lambda s=shape, b=B: training(s, b, True)
    yield "decode_gpt2_f32", "prompt 32, 64 new", "torch", lambda: decode(Gpt(GPT2).eval())
    try:
        import transformers  # noqa: F401
    except ImportError:
        return
    yield "decode_gpt2_f32", "prompt 32, 64 new", "transformers", decode_transformers


def product(way, M, K, N, dtype):
    x = torch.randn(M, K).to(dtype)
    if way == "mm":
        w = torch.randn(K, N).to(dtype)
        return lambda: torch.mm(x, w)
    w = torch.randn(N, K).to(dtype)
    return lambda: F.linear(x, w)


def softmax():
    x = torch.randn(4096, 4096)
    return lambda: F.softmax(x, dim=-1)


def with_gradient(forward, leaves, backward):
    if not backward:
        return torch.no_grad()(forward)
    for leaf in leaves:
        leaf.requires_grad_()
    upstream = torch.randn(forward().shape)
    return lambda: torch.autograd.grad(forward(), leaves, upstream)


def layer_norm(backward):
    x, weight, bias = torch.randn(8192, 768), torch.randn(768), torch.randn(768)
    return with_gradient(lambda: F.layer_norm(x, (768,), weight, bias), [x, weight, bias], backward)


def attention(backward):
    q, k, v = (torch.randn(1, 12, 1024, 64) for _ in range(3))
    return with_gradient(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True), [q, k, v], backward)


def cross_entropy():
    logits, targets = torch.randn(2048, 50257), torch.randint(50257, (2048,))
    return with_gradient(lambda: F.cross_entropy(logits, targets), [logits], True)


def adamw_step(**way):
    model = Gpt(BABY)
    optimizer = adamw(model, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, **way)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    return optimizer.step


def training(shape, B, compiled, bf16=False):
    """Forward, backward, clip and AdamW on a new random batch each time; with `bf16`, what autocast puts in it."""
    model = Gpt(shape)
    if compiled:
        model.compile()
    optimizer = adamw(model, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)

    def step():
        ids = torch.randint(shape.vocab_size, (B, shape.block_size + 1))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            _, norm = train_step(model, optimizer, ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        return norm

    return step


def decode(model, new=64):
    """Greedy decoding of one sequence; gives the milliseconds of each new token, the prompt left out."""
    prompt = torch.randint(GPT2.vocab_size, (1, 32))

    @torch.no_grad()
    def generate():
        cache = Cache(GPT2)
        times, ids = [], prompt
        for _ in range(new + 1):
            began = time.perf_counter()
            logits = model(ids, cache)
            cache.length += ids.shape[1]
            ids = logits[:, -1].argmax(dim=-1, keepdim=True)  # (B, 1)
            times.append(1e3 * (time.perf_counter() - began))
        return times[1:]

    return generate


def decode_transformers(new=64):
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config()).eval()
    prompt = torch.randint(GPT2.vocab_size, (1, 32))

    @torch.no_grad()
    def generate():
        times, ids, cache = [], prompt, None
        for _ in range(new + 1):
            began = time.perf_counter()
            out = model(ids, past_key_values=cache, use_cache=True)
            cache, ids = out.past_key_values, out.logits[:, -1].argmax(dim=-1, keepdim=True)
            times.append(1e3 * (time.perf_counter() - began))
        return times[1:]

    return generate


def sample(function, seconds):
    """Milliseconds of single calls: two to warm up, then at least five, and more while time is left."""
    function(), function()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 500):
        began = time.perf_counter()
        inner = function()
        elapsed = 1e3 * (time.perf_counter() - began)
        # A decoding loop times its own tokens.
        times.extend(inner if isinstance(inner, list) else [elapsed])
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each work and pass")
    parser.add_argument("--only", default="", help="works whose name contains this")
    parser.add_argument("--compile", action="store_true", help="also torch.compile; needs a C++ compiler")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    chosen = [work for work in works(options.compile) if options.only in work[0]]
    if options.list:
        print("\n".join(" | ".join(work[:3]) for work in chosen))
        return
    best = {}
    for _ in range(options.passes):
        for name, shape, peer, set_up in chosen:
            torch.manual_seed(0)
            times = sample(set_up(), options.seconds)
            line = {
                "name": name, "shape": shape, "peer": peer, "median_ms": round(statistics.median(times), 4),
                "min_ms": round(min(times), 4), "n": len(times), "torch": torch.__version__,
            }
            best[name, shape, peer] = min(best.get((name, shape, peer), line), line, key=lambda row: row["median_ms"])
            if options.passes > 1:
                print(name, shape, peer, line["median_ms"], file=sys.stderr, flush=True)
            else:
                print(json.dumps(line), flush=True)
    if options.passes > 1:
        print("\n".join(json.dumps(line) for line in best.values()))


if __name__ == "__main__":
    main()
