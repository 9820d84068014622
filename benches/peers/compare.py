"""Runs this engine's benchmark and its peers in turn, several rounds, and prints a Markdown table of the ratios.

    python benches/peers/compare.py [--rounds 3] [--threads 2] [--only matmul] [--ours "COMMAND"] [--json FILE]

Every command prints JSON lines with name, shape, peer and median_ms; works meet by name and shape. Rounds alternate (ours,
peers, ours, peers, ...), so that a noisy minute hurts all alike; each entry of the table is the lowest median of
its rounds. A peer that cannot be run is named in one line and left out.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OURS = "cargo bench --quiet --bench peers --"


def commands(options):
    """What to run, by name; each command takes --only."""
    only = ["--only", options.only] if options.only else []
    threads = ["--threads", str(options.threads)]
    pytorch = [options.python, str(HERE / "pytorch.py"), *threads, *(["--compile"] if options.compile else [])]
    candle = ["cargo", "run", "--quiet", "--release", "--features", "avx512", "--manifest-path", str(HERE / "candle" / "Cargo.toml"), "--"]
    peers = {"pytorch": pytorch, "candle": candle}
    chosen = {name: command + only for name, command in peers.items() if name in options.peers.split(",")}
    return {"ours": shlex.split(options.ours) + only, **chosen}


def run(name, command, threads):
    """The JSON lines that the command printed, or None with a word on stderr."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        print(f"{name} left out: {error}", file=sys.stderr)
        return None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}, no message"])[-1]
        print(f"{name} left out: `{shlex.join(command)}` failed: {reason}", file=sys.stderr)
        return None
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def measure(options):
    """Lowest median in ms by (name, shape) and by who; names in the order in which they first appear."""
    table = {}
    active = commands(options)
    for number in range(options.rounds):
        for name, command in list(active.items()):
            print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
            lines = run(name, command, options.threads)
            if lines is None:
                del active[name]
            for line in lines or []:
                who = "ours" if name == "ours" else line["peer"]
                times = table.setdefault((line["name"], line["shape"]), {})
                times[who] = min(times.get(who, line["median_ms"]), line["median_ms"])
    return table


def markdown(table):
    """One row a work; behind each peer's time, in brackets, how many times longer than ours it takes."""
    peers = sorted({who for times in table.values() for who in times} - {"ours"})
    rows = [["work", "shape", "ours, ms", *(f"{peer}, ms" for peer in peers)]]
    for (name, shape), times in table.items():
        ours = times.get("ours")
        cells = [figure(times[peer], ours) if peer in times else "-" for peer in peers]
        rows.append([name, shape, "-" if ours is None else f"{ours:.4g}", *cells])
    rows.insert(1, ["---", "---", *(["---:"] * (len(peers) + 1))])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def figure(time, ours):
    return f"{time:.4g}" if ours is None else f"{time:.4g} ({time / ours:.2f}×)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default=OURS, help=f"command that prints our lines (default: {OURS})")
    parser.add_argument("--peers", default="pytorch,candle")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="works whose name contains this")
    parser.add_argument("--compile", action="store_true", help="also torch.compile")
    parser.add_argument("--python", default=sys.executable, help="the Python that has torch")
    parser.add_argument("--json", type=Path, help="also write the times here")
    options = parser.parse_args()

    table = measure(options)
    if not table:
        sys.exit("nothing ran")
    print(f"\nLowest of {options.rounds} medians, {options.threads} threads; in brackets how many times ours it takes.\n")
    print(markdown(table))
    if options.json:
        rows = [{"name": name, "shape": shape, **times} for (name, shape), times in table.items()]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
