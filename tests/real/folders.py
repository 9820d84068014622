"""Holds the model folders that the command writes to Hugging Face transformers, which has to load them.

    pip install torch transformers safetensors
    cargo build --release
    python tests/real/folders.py

Each small model of `tests/golden/families.py` is saved by transformers, read and written again by the command (`convert`),
tuned whole and by LoRA (`finetune`), and made a classifier of (`finetune --task classify`). transformers has to load what is
written with no tensor missing, left over or drawn anew, and its logits are those of the command within 1e-4.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

# A script beside this one is called as a package that is needed.
sys.path = [place for place in sys.path if pathlib.Path(place or ".").resolve() != pathlib.Path(__file__).parent.resolve()]

import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

HERE = pathlib.Path(__file__).parent
FAMILIES = HERE.parent / "golden" / "families"
LETTERS = "abcdefghijklmnopqrstuvwxyz .,:;!?-#"  # of 37 ids
BOUND = 1e-4
IDS = [3, 1, 4, 15, 9, 2, 6, 5, 35, 8]


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stderr}")
    return done.stdout


def loaded(auto, folder):
    """The model of a folder, strictly."""
    model, told = auto.from_pretrained(folder, output_loading_info=True, dtype=torch.float32, attn_implementation="eager")
    wrong = {key: list(names) for key, names in told.items() if names}
    if wrong:
        sys.exit(f"{folder}: transformers says {wrong}")
    return model.eval()


def close(what, ours, theirs):
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    if not error <= BOUND:
        sys.exit(f"{what}: {error} away from transformers")
    return error


def logits(warpsmith, folder):
    out = folder / "logits.safetensors"
    run(warpsmith, "logits", "--model", folder, "--ids", ",".join(map(str, IDS)), "--out", out, "--device", "cpu")
    return load_file(out)["logits"]


def writes(warpsmith, folder):
    """A folder of a decoder: the command's logits are those of transformers."""
    with torch.no_grad():
        theirs = loaded(AutoModelForCausalLM, folder)(torch.tensor([IDS])).logits[0]
    return close(folder, logits(warpsmith, folder), theirs)


def classifies(warpsmith, folder, texts):
    told = run(warpsmith, "classify", "--model", folder, "--device", "cpu", "--json", *texts).splitlines()
    ours = torch.tensor([json.loads(line)["logits"] for line in told])
    model, tokenizer = loaded(AutoModelForSequenceClassification, folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        theirs = torch.cat([model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits for text in texts])
    return close(folder, ours, theirs)


def saved(name, config, folder):
    """A model as transformers saves it, with a tokenizer of letters."""
    config = dict(config)
    config = AutoConfig.for_model(config.pop("model_type"), **config)
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config) if config.model_type != "bert" else transformers.BertModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.3 + (parameter.dim() == 1))
    model.save_pretrained(folder / name)
    tokenizer = Tokenizer(models.BPE({letter: id for id, letter in enumerate(LETTERS)}, []))
    tokenizer.save(str(folder / name / "tokenizer.json"))
    return folder / name


def main():
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warpsmith", type=pathlib.Path, default=HERE.parents[1] / "target" / "release" / "warpsmith")
    warpsmith = parser.parse_args().warpsmith
    texts = ["the cat sat.", "a dog ran, and ran!", "no: yes?", "so it goes."]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "lines.jsonl").write_text("".join(json.dumps(dict(text=text)) + "\n" for text in texts * 4))
        (folder / "labels.jsonl").write_text(
            "".join(json.dumps(dict(text=text, label="ab"[i % 2])) + "\n" for i, text in enumerate(texts * 4)))
        tune = ["--epochs", 2, "--learning_rate", 0.01, "--device", "cpu"]
        cases = json.loads((FAMILIES / "causal.json").read_text())["cases"]
        for name, case in cases.items():
            source, out = saved(name, case["config"], folder), folder / f"{name}-out"
            run(warpsmith, "convert", "--from", source, "--out", out)
            before, after = (loaded(AutoModelForCausalLM, place).state_dict() for place in (source, out))
            if before.keys() != after.keys() or any(not torch.equal(before[key], after[key]) for key in before):
                sys.exit(f"{name}: the folder holds other weights")
            errors = [writes(warpsmith, out)]
            for kind, flags in {"tuned": [], "lora": ["--lora", 2]}.items():
                out = folder / f"{name}-{kind}"
                run(warpsmith, "finetune", "--model", source, "--data", folder / "lines.jsonl", "--out", out, *tune, *flags)
                errors.append(writes(warpsmith, out))
            print(f"{name}: converted, tuned and tuned by LoRA, logits {max(errors):.1e} from those of transformers")
        bert = json.loads((FAMILIES / "encoders.json").read_text())["cases"]["bert"]["config"]
        configs = {name: cases[name]["config"] for name in ["gpt2", "llama", "mistral", "qwen3"]}
        for name, config in ({"bert": bert} | configs).items():
            source, out = saved(name, config, folder), folder / f"{name}-labels"
            data = ["--task", "classify", "--data", folder / "labels.jsonl", "--val_data", folder / "labels.jsonl"]
            run(warpsmith, "finetune", "--model", source, "--out", out, *data, *tune)
            error = classifies(warpsmith, out, texts)
            print(f"{name}: a classifier, logits {error:.1e} from those of transformers")


if __name__ == "__main__":
    main()
