"""Writes shakespeare_char_cpu.json: the validation curve of nanoGPT's CPU run on tiny Shakespeare, over several seeds.

    python tests/golden/shakespeare.py TEXT [--seeds 3] [--threads 1]

TEXT is the 1,115,394-byte tinyshakespeare input.txt. The flags are those of nanoGPT's README for a machine without a
GPU: 4 layers, 4 heads, width 128, context 64, batch 12, 2000 steps, rate 1e-3 down to 1e-4 after 100 steps of warm-up,
beta2 0.99, weight decay 0.1, clip 1.0, no dropout, no bias. README.md beside this file says how the band comes about.
"""

import argparse
import hashlib
import json
import math
import statistics
from pathlib import Path

import torch

from gpt import CHAR, Gpt, adamw, learning_rate, train_step

BATCH, STEPS, EVERY, EVAL_BATCHES = 12, 2000, 250, 20
# How many spreads wide the band is on either side; README.md gives the chance of a false alarm.
WIDTH = 4.0


def characters(text):
    index = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([index[character] for character in text])
    cut = int(0.9 * len(ids))
    return ids[:cut], ids[cut:], len(index)


def batch(ids, T):
    starts = torch.randint(len(ids) - T, (BATCH,))
    windows = ids[starts[:, None] + torch.arange(T + 1)]  # (B, T + 1)
    return windows[:, :-1], windows[:, 1:]


@torch.no_grad()
def sampled_loss(model, ids, T):
    """nanoGPT's estimate: the mean over a few random batches."""
    return statistics.fmean(model.loss(*batch(ids, T)).item() for _ in range(EVAL_BATCHES))


@torch.no_grad()
def whole_loss(model, ids, T):
    """The mean over all windows of T tokens, side by side: no sampling error."""
    count = (len(ids) - 1) // T
    inputs, targets = ids[: count * T].view(count, T), ids[1 : count * T + 1].view(count, T)
    losses = [(model.loss(i, t).item(), len(i)) for i, t in zip(inputs.split(64), targets.split(64))]
    return sum(loss * rows for loss, rows in losses) / count


def run(seed, train, val, shape):
    torch.manual_seed(seed)
    model = Gpt(shape)
    optimizer = adamw(model, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    curve = {"seed": seed, "train": [], "val": [], "val_whole": []}
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            curve["train"].append(round(sampled_loss(model, train, shape.block_size), 4))
            curve["val"].append(round(sampled_loss(model, val, shape.block_size), 4))
            curve["val_whole"].append(round(whole_loss(model, val, shape.block_size), 4))
            print(seed, step, *(curve[key][-1] for key in ("train", "val", "val_whole")), flush=True)
        if step < STEPS:
            rate = learning_rate(step, peak=1e-3, floor=1e-4, warmup=100, decay_end=STEPS)
            train_step(model, optimizer, *batch(train, shape.block_size), lr=rate)
    return curve


def band(curves):
    """Mean, and mean -+ WIDTH standard deviations of one more run's difference from that mean."""
    n = len(curves)
    points = list(zip(*curves))
    variances = [statistics.variance(point) for point in points]
    # Few seeds measure the spread badly at a single point, so that each point gets at least the spread of all points.
    pooled = statistics.fmean(variances)
    spreads = [math.sqrt(max(v, pooled) * (1 + 1 / n)) for v in variances]
    means = [statistics.fmean(point) for point in points]
    return {
        "mean": [round(m, 4) for m in means],
        "low": [round(m - WIDTH * s, 4) for m, s in zip(means, spreads)],
        "high": [round(m + WIDTH * s, 4) for m, s in zip(means, spreads)],
    }


def save(name, what, text, config, steps, seeds, curves):
    """Writes the curves of several seeds, dictionaries of lists with the same keys, and the band of each key."""
    result = {
        "what": what,
        "text_sha256": hashlib.sha256(text).hexdigest(),
        "torch": torch.__version__,
        "config": config,
        "steps": steps,
        "seeds": seeds,
        **{key: band([curve[key] for curve in curves]) for key in curves[0] if key != "seed"},
        "runs": curves,
    }
    out = Path(__file__).with_name(name)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {out.name}: {out.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    text = options.text.read_bytes()
    train, val, V = characters(text.decode())
    assert V == CHAR.vocab_size, f"expected tiny Shakespeare with 65 characters, found {V}"
    curves = [run(1337 + i, train, val, CHAR) for i in range(options.seeds)]
    config = {
        "n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "bias": False, "dropout": 0.0,
        "batch_size": BATCH, "max_iters": STEPS, "lr_decay_iters": STEPS, "warmup_iters": 100,
        "learning_rate": 1e-3, "min_lr": 1e-4, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1,
        "grad_clip": 1.0, "eval_interval": EVERY, "eval_iters": EVAL_BATCHES,
    }
    what = "nanoGPT's CPU run on tiny Shakespeare by characters; losses in nats per character"
    steps, seeds = list(range(0, STEPS + 1, EVERY)), [curve["seed"] for curve in curves]
    save("shakespeare_char_cpu.json", what, text, config, steps, seeds, curves)


if __name__ == "__main__":
    main()
