"""Writes answers.json beside this file: EM and F1 of seeded answers, by torchmetrics' SQuAD and by the script of CMRC 2018.

    pip install torchmetrics nltk
    python answers.py cmrc2018_evaluate.py    # of the repository ymcui/cmrc2018, folder squad-style-data
"""

import json
import pathlib
import random
import re
import sys

from nltk.tokenize import NLTKWordTokenizer
from torchmetrics.functional.text import squad

ENGLISH = "the a an The of Paris in 1,000 3.5 (capital) U.S. it's “quoted” well-known 50% A&B café Über end. yes, — theatre banana".split()
CHINESE = "我 今天 去 了 公园 《光荣》 GPT-2 3.5 100% ， 。 ！ “引用” 1996年 the A.I. — 、 （一） hello, 波士顿".split()


def cmrc(path):
    """The script's functions, moved to Python 3: texts are texts there."""
    source = pathlib.Path(path).read_text(encoding="utf-8")
    for old, new in [("reload(sys)", ""), ("sys.setdefaultencoding('utf8')", ""), ("ur'", "r'"), (".decode('utf-8')", ""),
                     ("import nltk", ""), ("import pdb", "")]:
        source = source.replace(old, new)

    class nltk:  # noqa: N801
        # The words of one sentence, which need no trained model.
        word_tokenize = staticmethod(NLTKWordTokenizer().tokenize)

    scope = {"__name__": "cmrc", "nltk": nltk}
    exec(compile(source, path, "exec"), scope)
    return scope["calc_em_score"], scope["calc_f1_score"]


def changed(rng, words, vocabulary):
    return [rng.choice(vocabulary) if rng.random() < 0.15 else word for word in words if rng.random() > 0.12]


def main():
    rng, (exact, f1) = random.Random(2018), cmrc(sys.argv[1])
    rows = []
    for index in range(240):
        vocabulary, joint = (ENGLISH, " ") if index % 2 == 0 else (CHINESE, "")
        references = [rng.choices(vocabulary, k=rng.choice([1, 2, 3, 5, 8])) for _ in range(rng.choice([1, 1, 3]))]
        answer = joint.join(changed(rng, references[0], vocabulary))
        references = [joint.join(words) for words in references]
        found = squad({"prediction_text": answer, "id": "0"}, {"answers": {"answer_start": [0] * len(references), "text": references}, "id": "0"})
        # SQuAD's rule for nothing came with its second release, which torchmetrics has not.
        if re.sub(r"\b(a|an|the)\b|[^\w]", "", answer.lower()).strip():
            rows.append([answer, references, float(found["exact_match"]) / 100, float(found["f1"]) / 100,
                         # English alone is cut by NLTK in its own way.
                         *([] if joint else [exact(references, answer), f1(references, answer)])])
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
    pathlib.Path(__file__).with_name("answers.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
