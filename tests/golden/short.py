"""Writes short_curve.json: 150 steps on a text that does not change, over several seeds, as a band to train inside of.

    python tests/golden/short.py [--seeds 8]

The text is LICENSE-APACHE, by characters: this repository's own text is another one at each commit. Beside the loss stand the
norms of all weights and of those that end in the residual stream: seeds hardly move them, and each setting of the optimiser and
of the schedule does.
"""

import argparse
from pathlib import Path

import torch

from gpt import Gpt, Shape, adamw, learning_rate, train_step
from shakespeare import characters, save, whole_loss

BATCH, STEPS, EVERY = 16, 150, 25
RATE, FLOOR, WARMUP, DECAY = 3e-3, 3e-4, 20, 6.0


@torch.no_grad()
def norm(parameters):
    return torch.cat([p.flatten() for p in parameters]).norm().item()


def point(model, train, T):
    residual = [p for name, p in model.named_parameters() if name.endswith("c_proj.weight")]
    return {
        "train_whole": round(whole_loss(model, train, T), 4),
        "norm": round(norm(model.parameters()), 4),
        "residual_norm": round(norm(residual), 4),
    }


def run(seed, train, shape):
    torch.manual_seed(seed)
    model = Gpt(shape)
    optimizer = adamw(model, lr=RATE, betas=(0.9, 0.99), weight_decay=DECAY)
    curve = []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            curve.append(point(model, train, shape.block_size))
        if step < STEPS:
            starts = torch.randint(len(train) - shape.block_size, (BATCH,))
            windows = train[starts[:, None] + torch.arange(shape.block_size + 1)]  # (B, T + 1)
            rate = learning_rate(step, peak=RATE, floor=FLOOR, warmup=WARMUP, decay_end=STEPS)
            train_step(model, optimizer, windows[:, :-1], windows[:, 1:], lr=rate)
    curve = {key: [point[key] for point in curve] for key in curve[0]}
    print(seed, curve, flush=True)
    return curve


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = (Path(__file__).parents[2] / "LICENSE-APACHE").read_bytes()
    train, _, V = characters(text.decode())
    shape = Shape(n_layer=2, n_head=4, n_embd=64, block_size=32, vocab_size=V, bias=False)
    seeds = [1337 + i for i in range(options.seeds)]
    curves = [run(seed, train, shape) for seed in seeds]
    config = {
        "n_layer": 2, "n_head": 4, "n_embd": 64, "block_size": 32, "bias": False, "dropout": 0.0,
        "batch_size": BATCH, "max_iters": STEPS, "lr_decay_iters": STEPS, "warmup_iters": WARMUP,
        "learning_rate": RATE, "min_lr": FLOOR, "beta1": 0.9, "beta2": 0.99, "weight_decay": DECAY,
        "grad_clip": 1.0,
    }
    what = "150 steps on the first nine tenths of LICENSE-APACHE by characters: nats per character over all of them, norms of weights"
    save("short_curve.json", what, text, config, list(range(0, STEPS + 1, EVERY)), seeds, curves)


if __name__ == "__main__":
    main()
