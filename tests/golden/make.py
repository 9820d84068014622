"""Writes the golden values of this folder: gpt2_tiny/, gpt2_trace.safetensors, gpt2_trace.json, ops.safetensors.

    pip install torch safetensors && python tests/golden/make.py

README.md beside this file lists every key. Everything is computed twice, in float64 and in float32, from the same
float32 numbers; seeds are fixed and one thread is used, so that a second run writes the same files.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from gpt import Gpt, Shape, adamw, hugging_face, learning_rate, train_step

HERE = Path(__file__).parent
TINY = Shape(n_layer=2, n_head=4, n_embd=32, block_size=16, vocab_size=65, bias=True)
STEPS, BATCH = 20, 4
TRAINING = {
    "learning_rate": 1e-2, "min_lr": 1e-3, "warmup_iters": 4, "lr_decay_iters": STEPS,
    "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "grad_clip": 2.0,
}
DTYPES = {"f64": torch.float64, "f32": torch.float32}


def save(tensors, name):
    path = HERE / name
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, path)
    print(f"wrote {name}: {len(tensors)} tensors, {path.stat().st_size} bytes")


def save_json(value, name):
    path = HERE / name
    path.write_text(json.dumps(value, indent=1) + "\n")
    print(f"wrote {name}: {path.stat().st_size} bytes")


# The trace -----------------------------------------------------------------------------------------------------------


def token_batches():
    """Sequences with a rule to learn, next = 3 * this + 7 mod V, and one token in ten drawn at random."""
    V, T = TINY.vocab_size, TINY.block_size
    windows = torch.randint(V, (STEPS, BATCH, T + 1))
    noise = torch.rand(windows.shape) < 0.1
    for t in range(T):
        windows[..., t + 1] = torch.where(noise[..., t + 1], windows[..., t + 1], (3 * windows[..., t] + 7) % V)
    return windows[..., :-1].contiguous(), windows[..., 1:].contiguous()  # (steps, B, T) each


def initial_model():
    """No gain is 1 and no bias 0, so that a loader or a backward that forgets one is seen."""
    model = Gpt(TINY)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(std=0.1)
            if "ln_" in name and name.endswith("weight"):
                p.add_(1.0)
    return model


def train(weights, inputs, targets, dtype):
    """20 steps from `weights`; gives what the trace records, in `dtype`."""
    model = Gpt(TINY)
    model.load_state_dict(weights)
    model.to(dtype)
    t = TRAINING
    optimizer = adamw(model, lr=0.0, betas=(t["beta1"], t["beta2"]), weight_decay=t["weight_decay"], eps=t["eps"])
    with torch.no_grad():
        logits = model(inputs[0])
    model.loss(inputs[0], targets[0]).backward()
    gradients = hugging_face(model, lambda p: p.grad)
    model.zero_grad()
    rates = [
        learning_rate(i, t["learning_rate"], t["min_lr"], t["warmup_iters"], t["lr_decay_iters"]) for i in range(STEPS)
    ]
    steps = []
    for ids, next_ids, rate in zip(inputs, targets, rates):
        steps.append(train_step(model, optimizer, ids, next_ids, lr=rate, clip=t["grad_clip"]))
    return {
        "lr": rates,
        "loss": [loss.item() for loss, _ in steps],
        "norm": [norm.item() for _, norm in steps],
        "tensors": {
            "logits": logits,
            **{"grad." + key: g for key, g in gradients.items()},
            **{"final." + key: p for key, p in hugging_face(model).items()},
        },
    }


def make_trace():
    torch.manual_seed(1)
    inputs, targets = token_batches()
    model = initial_model()
    (HERE / "gpt2_tiny").mkdir(exist_ok=True)
    save(hugging_face(model), "gpt2_tiny/model.safetensors")
    config = {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu",
        "n_layer": TINY.n_layer, "n_head": TINY.n_head, "n_embd": TINY.n_embd, "n_positions": TINY.block_size,
        "n_ctx": TINY.block_size, "vocab_size": TINY.vocab_size, "layer_norm_epsilon": 1e-5,
        "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }
    save_json(config, "gpt2_tiny/config.json")

    runs = {name: train(model.state_dict(), inputs, targets, dtype) for name, dtype in DTYPES.items()}
    exact, single = runs["f64"]["tensors"], runs["f32"]["tensors"]
    # Rounded once to float32: half a unit in the last place, far below the error of any float32 run.
    save({"inputs": inputs, "targets": targets, **{key: x.float() for key, x in exact.items()}}, "gpt2_trace.safetensors")
    trace = {
        "torch": torch.__version__,
        "training": TRAINING,
        "lr": runs["f64"]["lr"],
        **{f"{key}_{name}": run[key] for key in ("loss", "norm") for name, run in runs.items()},
        "f32_error": {key: worst(single[key], x) for key, x in exact.items()},
    }
    save_json(trace, "gpt2_trace.json")


def worst(got, exact):
    return (got.double() - exact).abs().max().item()


# The ops -------------------------------------------------------------------------------------------------------------


def case(out, name, function, inputs, differentiable, **fixed):
    """Records a call: inputs in float32; output y and gradients d<input> under a random upstream gradient dy, by dtype."""
    for key, value in {**inputs, **fixed}.items():
        out[f"{name}.{key}"] = value
    upstream = None
    for suffix, dtype in DTYPES.items():
        leaves = {key: x.to(dtype).requires_grad_(key in differentiable) for key, x in inputs.items()}
        y = function(**leaves, **fixed)
        if upstream is None:
            upstream = torch.randn(y.shape)
            out[f"{name}.dy"] = upstream
        gradients = torch.autograd.grad(y, [leaves[key] for key in differentiable], upstream.to(dtype))
        out[f"{name}.y.{suffix}"] = y.detach()
        for key, gradient in zip(differentiable, gradients):
            out[f"{name}.d{key}.{suffix}"] = gradient


def rows(count, width):
    """Rows of unlike kinds: standard normal, large mean with small spread, wide range, tiny, and all equal."""
    x = torch.randn(count, width)
    x[1] = 300 + 0.01 * x[1]
    x[2] = x[2] * 10.0 ** torch.linspace(-4, 2, width)
    x[3] *= 1e-4
    x[4] = 0.5
    return x


def make_ops():
    torch.manual_seed(2)
    out = {}
    # Beyond -10 a formula with 1 + erf or 1 - tanh loses every digit.
    points = torch.cat([torch.linspace(-14, 14, 225), torch.tensor([0.0, -0.0, 1e-8, -1e-8, 1e-30, 60.0, -60.0])])
    case(out, "gelu_exact", lambda x: F.gelu(x), {"x": points}, ["x"])
    case(out, "gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), {"x": points}, ["x"])
    case(out, "silu", lambda x: F.silu(x), {"x": points}, ["x"])

    C = 48
    gain, shift = 1 + 0.2 * torch.randn(C), 0.2 * torch.randn(C)
    case(
        out, "layer_norm", lambda x, weight, bias: F.layer_norm(x, (C,), weight, bias, eps=1e-5),
        {"x": rows(6, C), "weight": gain, "bias": shift}, ["x", "weight", "bias"],
    )
    case(
        out, "rms_norm", lambda x, weight: F.rms_norm(x, (C,), weight, eps=1e-5),
        {"x": rows(6, C), "weight": gain}, ["x", "weight"],
    )
    case(out, "softmax", lambda x: F.softmax(x, dim=-1), {"x": rows(6, 65)}, ["x"])
    case(out, "log_softmax", lambda x: F.log_softmax(x, dim=-1), {"x": rows(6, 65)}, ["x"])

    targets = torch.randint(65, (12,))
    targets[[2, 3, 11]] = -100
    case(
        out, "cross_entropy", lambda x, targets: F.cross_entropy(x, targets, ignore_index=-100),
        {"x": torch.cat([rows(6, 65), 5 * torch.randn(6, 65)])}, ["x"], targets=targets,
    )
    B, H, KV, T, D = 2, 4, 2, 13, 16
    shapes = {"q": (B, H, T, D), "k": (B, KV, T, D), "v": (B, KV, T, D)}
    case(
        out, "attention_causal_gqa", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
        {key: torch.randn(shape) for key, shape in shapes.items()}, ["q", "k", "v"],
    )
    shapes = {"q": (B, H, 5, D), "k": (B, H, 9, D), "v": (B, H, 9, D)}
    case(
        out, "attention_cross", lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
        {key: 2 * torch.randn(shape) for key, shape in shapes.items()}, ["q", "k", "v"],
    )
    ids = torch.tensor([[0, 3, 3, 3, 10, 7, 0], [5, 5, 1, 2, 3, 9, 10], [3, 0, 0, 4, 6, 6, 6]])
    case(out, "embedding", lambda weight, ids: F.embedding(ids, weight), {"weight": torch.randn(12, 8)}, ["weight"], ids=ids)
    save(out, "ops.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_trace()
    make_ops()
