"""Holds GGUF files, given ones and those that `warpsmith convert` writes, to llama.cpp.

    cargo build --release
    python tests/real/llama_cpp.py --model SmolLM2-135M-Instruct.Q4_1.gguf --llama_cpp llama.cpp/build/bin

The perplexity of a text by both programs, on the file as it is, and on an f16 and a q8_0 file written from it, may differ by
1 %. llama-perplexity cuts the tokens into chunks of the context and counts the second half of each; the same is done here
with the logits that `warpsmith logits` gives.

The likeliest texts behind three prompts must be the same, token by token, on an f32 file written from it. On the file as it is
they are told beside each other: llama.cpp rounds what meets quantised weights to 8 bits, so that its texts leave those of the
numbers in the file where two tokens are nearly as likely.

numpy and safetensors are needed; llama.cpp (llama-perplexity, llama-completion) is built from the sources inside the PyPI
package llama-cpp-python, or from its repository.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
from safetensors.numpy import load_file

HERE = pathlib.Path(__file__).parent
CONTEXT = 256
BOUND = 0.01
PROMPTS = ["The capital of France is", "Once upon a time there was a little", "Water boils at a temperature of"]
NEW_TOKENS = 32


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stderr}")
    return done.stdout + done.stderr


def theirs(program, model, text):
    said = run(program, "-m", model, "-f", text, "-c", CONTEXT, "-b", CONTEXT, "-t", 2)
    return float(re.search(r"Final estimate: PPL = ([0-9.]+)", said).group(1))


def ours(program, model, text, folder):
    told = json.loads(subprocess.run([program, "tokenize", "--model", model, "--json", text.read_text()], capture_output=True, check=True).stdout)
    ids = told["ids"]
    total, count = 0.0, 0
    for first in range(0, len(ids) - CONTEXT + 1, CONTEXT):
        chunk = ids[first : first + CONTEXT]
        out = folder / "logits.safetensors"
        run(program, "logits", "--model", model, "--ids", ",".join(map(str, chunk)), "--out", out, "--device", "cpu")
        logits = load_file(out)["logits"].astype(numpy.float64)  # (T, V)
        logits -= logits.max(axis=1, keepdims=True)
        log_probs = logits - numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True))
        # The logits at place t are of token t + 1; llama.cpp counts places from half the context to the last but one.
        for place in range(CONTEXT // 2, CONTEXT - 1):
            total -= log_probs[place, chunk[place + 1]]
            count += 1
    return float(numpy.exp(total / count)), count


def texts(program, completion, model, prompt):
    """The likeliest text behind a prompt, ours and llama.cpp's."""
    words = ["--model", model, "--prompt", prompt, "--temperature", 0, "--max_new_tokens", NEW_TOKENS, "--json", "--device", "cpu"]
    told = subprocess.run([program, "generate", *map(str, words)], capture_output=True, check=True).stdout
    words = ["-m", model, "-p", prompt, "-n", NEW_TOKENS, "--temp", 0, "-no-cnv", "--no-display-prompt", "-t", 2]
    said = subprocess.run([completion, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
    return [text.strip().removesuffix("[end of text]").strip() for text in (json.loads(told)["text"], said.decode())]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="a GGUF file")
    parser.add_argument("--text", type=pathlib.Path, help="a text [default: the sentences of minilm.json]")
    parser.add_argument("--llama_cpp", type=pathlib.Path, required=True, help="the folder of llama.cpp's programs")
    parser.add_argument("--warpsmith", default=HERE.parents[1] / "target" / "release" / "warpsmith")
    asked = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        text = asked.text
        if text is None:
            text = folder / "text"
            sentences = json.loads((HERE / "minilm.json").read_text())["pairs"]
            text.write_text(" ".join(sentence for pair in sentences for sentence in pair["texts"]))
        run(asked.warpsmith, "convert", "--from", asked.model, "--out", folder / "model")
        files = {"as it is": asked.model}
        for kind in ["f16", "q8_0", "f32"]:
            files[f"written as {kind}"] = folder / f"{kind}.gguf"
            run(asked.warpsmith, "convert", "--from", folder / "model", "--to", folder / f"{kind}.gguf", "--type", kind)
        for name, file in files.items():
            own, count = ours(asked.warpsmith, file, text, folder)
            other = theirs(asked.llama_cpp / "llama-perplexity", file, text)
            verdict = "ok" if abs(own / other - 1) <= BOUND else "FAILED"
            failed |= verdict != "ok"
            print(f"{verdict:<7} {name}: perplexity {own:.4f}, llama.cpp {other:.4f}, over {count} tokens")
        for name in ["written as f32", "as it is"]:
            for prompt in PROMPTS:
                own, other = texts(asked.warpsmith, asked.llama_cpp / "llama-completion", files[name], prompt)
                same = len(os.path.commonprefix([own, other]))
                verdict = "ok" if own == other else "FAILED" if name == "written as f32" else "differs"
                failed |= verdict == "FAILED"
                print(f"{verdict:<7} {name}: {prompt!r}: {own[:same]!r}")
                if own != other:
                    print(f"{'':<7} ours: {own[same:]!r}, llama.cpp: {other[same:]!r}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
