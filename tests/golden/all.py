"""Writes all golden values of this folder anew, but for those of shakespeare.py, which takes an hour and a text.

    pip install torch safetensors transformers sentence-transformers gguf numpy
    python tests/golden/all.py

    python tests/golden/all.py --input input.txt     # those, too; input.txt is tiny Shakespeare

What changed is what `git diff --stat` says: other versions of the packages may round otherwise.
"""

import argparse
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
SCRIPTS = ["make.py", "families.py", "vocabularies.py", "classical.py", "quantised.py", "short.py"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=pathlib.Path, help="tiny Shakespeare, for shakespeare.py")
    given = parser.parse_args().input
    known = {*SCRIPTS, "shakespeare.py", "gpt.py", pathlib.Path(__file__).name}
    if unknown := {script.name for script in HERE.glob("*.py")} - known:
        sys.exit(f"nobody calls {', '.join(sorted(unknown))}: add it to SCRIPTS")
    calls = [[script] for script in SCRIPTS] + ([["shakespeare.py", given.resolve()]] if given else [])
    for script, *arguments in calls:
        print(f"{script} …", flush=True)
        subprocess.run([sys.executable, HERE / script, *arguments], check=True)


if __name__ == "__main__":
    main()
