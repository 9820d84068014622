"""Golden values of the classical layers, computed by PyTorch.

    pip install torch numpy safetensors
    python tests/golden/classical.py           # writes tests/golden/classical.safetensors

Weights and inputs are not stored: each is half of `noise` of `<case>.<name>`, which the tests compute too. The loss is the sum
of all outputs times noise, so that every gradient takes part. Everything is in float64, rounded once.
"""

import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

from families import noise

OUT = pathlib.Path(__file__).parent / "classical.safetensors"
B, T, C, H = 2, 5, 3, 4
golden = {}


def draw(name, *dims):
    values = noise(name, int(np.prod(dims))).astype(np.float64) / 2
    return torch.from_numpy(values).reshape(dims).requires_grad_()


def record(case, outputs, leaves):
    """Outputs by name, and the gradients of the leaves by name."""
    loss = sum((y * draw(f"{case}.loss.{name}", *y.shape).detach()).sum() for name, y in outputs.items())
    grads = torch.autograd.grad(loss, list(leaves.values()))
    for name, y in outputs.items():
        golden[f"{case}.out.{name}"] = y.detach()
    for name, g in zip(leaves, grads):
        golden[f"{case}.grad.{name}"] = g


def fill(case, module):
    """Sets all parameters; they by name."""
    for name, p in module.named_parameters():
        with torch.no_grad():
            p.copy_(draw(f"{case}.{name}", *p.shape))
    return dict(module.named_parameters())


def recurrent(kind, lengths):
    case = kind.lower() + ("_lengths" if lengths else "")
    layer = getattr(torch.nn, kind)(C, H, num_layers=2, bidirectional=True, batch_first=True).double()
    leaves = fill(case, layer)
    leaves["x"] = draw(f"{case}.x", B, T, C)
    x, state = leaves["x"], None
    if lengths:
        x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    else:
        leaves["h"] = draw(f"{case}.h", 4, B, H)
        state = leaves["h"]
        if kind == "LSTM":
            leaves["c"] = draw(f"{case}.c", 4, B, H)
            state = (state, leaves["c"])
    y, last = layer(x, state)
    if lengths:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
    outputs = {"y": y}
    outputs |= {"h": last[0], "c": last[1]} if kind == "LSTM" else {"h": last}
    record(case, outputs, leaves)


def conv1d(case, groups, **window):
    layer = torch.nn.Conv1d(4, 6, 3, groups=groups, **window).double()
    leaves = fill(case, layer)
    leaves["x"] = draw(f"{case}.x", B, 4, 11)
    record(case, {"y": layer(leaves["x"])}, leaves)


def batch_norm(case, *dims):
    layer = torch.nn.BatchNorm1d(dims[1]).double()
    leaves = fill(case, layer)
    leaves["x"] = draw(f"{case}.x", *dims)
    y = layer(leaves["x"])
    layer.eval()
    outputs = {"y": y, "mean": layer.running_mean.clone(), "var": layer.running_var.clone(),
               "later": layer(leaves["x"])}
    record(case, outputs, leaves)


def additive_attention(case="additive"):
    """softmax(v·tanh(W·q + U·k + b)) of the keys, the last key of the second row hidden."""
    leaves = {
        "query.weight": draw(f"{case}.query.weight", 5, H),
        "key.weight": draw(f"{case}.key.weight", 5, C),
        "key.bias": draw(f"{case}.key.bias", 5),
        "score.weight": draw(f"{case}.score.weight", 1, 5),
        "queries": draw(f"{case}.queries", B, 3, H),
        "keys": draw(f"{case}.keys", B, T, C),
    }
    w, u, bias, v, q, k = leaves.values()
    hidden = torch.zeros(B, T, dtype=torch.bool)
    hidden[1, -1] = True
    inside = (q @ w.T).unsqueeze(2) + (k @ u.T + bias).unsqueeze(1)
    scores = (inside.tanh() @ v.T).squeeze(-1).masked_fill(hidden.unsqueeze(1), float("-inf"))
    weights = scores.softmax(-1)
    record(case, {"y": weights @ k, "weights": weights}, leaves)


def losses(case="losses"):
    leaves = {"x": draw(f"{case}.x", 4, C)}
    x, t = leaves["x"] * 20, draw(f"{case}.target", 4, C).detach() + 0.5
    sign = (t > 0.5).double() * 2 - 1
    record(case, {
        "mse": torch.nn.functional.mse_loss(x, t),
        "bce": torch.nn.functional.binary_cross_entropy_with_logits(x, t),
        "hinge": (1 - x * sign).clamp(min=0).mean(),
    }, leaves)


if __name__ == "__main__":
    for kind in ["RNN", "GRU", "LSTM"]:
        recurrent(kind, None)
        recurrent(kind, [5, 2])
    conv1d("conv", 1, stride=2, padding=2, dilation=2)
    conv1d("conv_groups", 2, padding=1)
    batch_norm("batch_norm", 6, C)
    batch_norm("batch_norm_times", B, C, T)
    additive_attention()
    losses()
    save_file({name: t.to(torch.float32).contiguous() for name, t in golden.items()}, OUT)
    print(f"{len(golden)} tensors, {OUT.stat().st_size} bytes")
