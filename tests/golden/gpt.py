"""A GPT-2-shaped decoder in PyTorch with nanoGPT's training rules: the oracle of the golden values and of the peers.

Letters: B batch, T time, C width (n_embd), H heads, D head width, V vocabulary.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    vocab_size: int
    bias: bool


CHAR = Shape(n_layer=4, n_head=4, n_embd=128, block_size=64, vocab_size=65, bias=False)
BABY = Shape(n_layer=6, n_head=6, n_embd=384, block_size=256, vocab_size=65, bias=False)
GPT2 = Shape(n_layer=12, n_head=12, n_embd=768, block_size=1024, vocab_size=50257, bias=True)


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.n_head = s.n_head
        self.c_attn = nn.Linear(s.n_embd, 3 * s.n_embd, bias=s.bias)
        self.c_proj = nn.Linear(s.n_embd, s.n_embd, bias=s.bias)

    def forward(self, x, cache):
        B, T, C = x.shape
        q, k, v = (
            part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for part in self.c_attn(x).split(C, dim=2)
        )  # (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(self, k, v)  # (B, H, past + T, D)
        # One new token sees everything before it, so that only longer inputs need the mask.
        y = F.scaled_dot_product_attention(q, k, v, is_causal=T > 1)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))


class Mlp(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.c_fc = nn.Linear(s.n_embd, 4 * s.n_embd, bias=s.bias)
        self.c_proj = nn.Linear(4 * s.n_embd, s.n_embd, bias=s.bias)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.ln_1 = nn.LayerNorm(s.n_embd, bias=s.bias)
        self.attn = Attention(s)
        self.ln_2 = nn.LayerNorm(s.n_embd, bias=s.bias)
        self.mlp = Mlp(s)

    def forward(self, x, cache):
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """Attribute names are those of Hugging Face's GPT-2; the output head is the token embedding."""

    def __init__(self, s):
        super().__init__()
        self.wte = nn.Embedding(s.vocab_size, s.n_embd)
        self.wpe = nn.Embedding(s.block_size, s.n_embd)
        self.h = nn.ModuleList(Block(s) for _ in range(s.n_layer))
        self.ln_f = nn.LayerNorm(s.n_embd, bias=s.bias)
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                # Residual branches add up, so that their last projections begin smaller (GPT-2, section 2.3).
                std = 0.02 / math.sqrt(2 * s.n_layer) if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(p, std=std)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, ids, cache=None):
        past = 0 if cache is None else cache.length
        positions = torch.arange(past, past + ids.shape[1])
        x = self.wte(ids) + self.wpe(positions)  # (B, T, C)
        for block in self.h:
            x = block(x, cache)
        return F.linear(self.ln_f(x), self.wte.weight)  # (B, T, V)

    def loss(self, ids, targets):
        return F.cross_entropy(self(ids).flatten(0, 1), targets.flatten())


class Cache:
    """Keys and values of the tokens seen so far, in buffers of their final size."""

    def __init__(self, s, B=1):
        self.shape = (B, s.n_head, s.block_size, s.n_embd // s.n_head)
        self.length = 0
        self.layers = {}

    def extend(self, layer, k, v):
        if layer not in self.layers:
            self.layers[layer] = (torch.zeros(self.shape, dtype=k.dtype), torch.zeros(self.shape, dtype=k.dtype))
        end = self.length + k.shape[2]
        for buffer, new in zip(self.layers[layer], (k, v)):
            buffer[:, :, self.length : end] = new
        return tuple(buffer[:, :, :end] for buffer in self.layers[layer])


def adamw(model, lr, betas, weight_decay, **options):
    """AdamW with nanoGPT's groups: matrices and embeddings decay, gains and biases do not."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, **options)


def learning_rate(step, peak, floor, warmup, decay_end):
    """nanoGPT's schedule: linear warm-up, then a half cosine down to the floor; steps count from 0."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if step > decay_end:
        return floor
    progress = (step - warmup) / (decay_end - warmup)
    return floor + 0.5 * (1 + math.cos(math.pi * progress)) * (peak - floor)


def train_step(model, optimizer, ids, targets, lr=None, clip=1.0):
    """One update; gives the loss and the norm of the gradient before clipping."""
    if lr is not None:
        for group in optimizer.param_groups:
            group["lr"] = lr
    loss = model.loss(ids, targets)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach(), norm


def hugging_face(model, value=lambda p: p.detach()):
    """The parameters, or something of each, under the keys and in the layout in which GPT2LMHeadModel saves them.

    Its projections are called Conv1D and are stored (in, out), the transpose of nn.Linear's.
    """
    found = {}
    for name, p in model.named_parameters():
        is_projection = p.dim() == 2 and ".c_" in name
        tensor = value(p)
        found["transformer." + name] = (tensor.t() if is_projection else tensor).contiguous().clone()
    return found
