"""Holds tokenizers from GGUF vocabularies to llama.cpp's own cases, which are not part of this repository.

    cargo build --release
    python tests/real/tokenizers.py FOLDER           # downloads the sources of llama.cpp into FOLDER if they are not there

The sources are those inside the PyPI package llama-cpp-python, held to their SHA-256. In `models/` they have vocabularies
with texts (`.inp`) and the ids that each model's own tokenizer gives them (`.out`). A vocabulary passes if all its texts
get these ids, and is refused if the command says that it does not know its kind; anything else is a failure.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tarfile

from check import pinned

HERE = pathlib.Path(__file__).parent
PACKAGE = "llama-cpp-python==0.3.36"
ARCHIVE = "llama_cpp_python-0.3.36.tar.gz"
ARCHIVE_SUM = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
BETWEEN = "\n__ggml_vocab_test__\n"


def vocabularies(folder):
    """The vocabularies that come with texts and ids."""
    archive = folder / ARCHIVE
    if not archive.exists():
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python"]
        subprocess.run([*pip, PACKAGE, "-d", str(folder)], check=True)
    pinned(archive, ARCHIVE_SUM)
    with tarfile.open(archive) as tar:
        members = [m for m in tar if "/vendor/llama.cpp/models/ggml-vocab-" in m.name and m.isfile()]
        tar.extractall(folder, members, filter="data")
    return sorted(path for m in members if (path := folder / m.name).suffix == ".gguf" and path.with_suffix(".gguf.out").exists())


def judge(warpsmith, file):
    """`passed`, `refused` or `failed`, and why."""
    # Line ends are part of the texts.
    with open(f"{file}.inp", encoding="utf-8", newline="") as texts:
        texts = texts.read().split(BETWEEN)
    with open(f"{file}.out", encoding="utf-8", newline="") as ids:
        truth = [[int(id) for id in line.split()] for line in ids.read().split("\n")]
    # Nothing stands behind the last separator, which some files lack.
    texts, truth = (all[:-1] if not all[-1] else all for all in (texts, truth))
    words = [warpsmith, "tokenize", "--model", file, "--json", "--", *texts]
    done = subprocess.run([str(word) for word in words], capture_output=True, encoding="utf-8")
    if done.returncode:
        is_refused = done.returncode == 1 and "is not known" in done.stderr
        return "refused" if is_refused else "failed", done.stderr.strip().split("usable tokenizer: ")[-1]
    told = [json.loads(line)["ids"] for line in done.stdout.splitlines()]
    wrong = [(text, ours, ids) for text, ours, ids in zip(texts, told, truth, strict=True) if ours != ids]
    if wrong:
        text, ours, ids = wrong[0]
        return "failed", f"{len(wrong)} of {len(texts)} texts, such as {text!r}: {ours}, not {ids}"
    return "passed", f"{len(texts)} texts"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--warpsmith", type=pathlib.Path, default=HERE.parents[1] / "target" / "release" / "warpsmith")
    asked = parser.parse_args()
    counts = dict(passed=0, refused=0, failed=0)
    for file in vocabularies(asked.folder):
        verdict, why = judge(asked.warpsmith, file)
        counts[verdict] += 1
        print(f"{file.stem.removeprefix('ggml-vocab-'):<16} {verdict}  {why}")
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)
