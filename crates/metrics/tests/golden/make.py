"""Writes golden.json beside this file: what scikit-learn, sacrebleu and rouge-score say of seeded pairs.

    pip install scikit-learn sacrebleu rouge-score
    python make.py
"""

import json
import math
import pathlib
import random
import re

import numpy
import sacrebleu
import sklearn
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, confusion_matrix, precision_recall_fscore_support

ENGLISH = (
    "the a of model train loss 3.5 1,000 U.S. it's don't well-known GPT-2 (maybe) \"quoted\" end. yes, no; e.g. 50% $9 "
    "A&B x=y http://a.b/c 7-8 Über café naïve … — ' - ? ! [x] <skipped> &amp; &quot;hi&quot; cat cats sat on mat"
).split()
CHINESE = (
    "我 今天 去 了 公园 爱 编程 吃 水果 人工智能 是 一项 多学科 交叉 的 技术 领域 ， 。 ！ 《 》 “ ” GPT-2 3.5 100% 中国 々 〇 "
    "の タワー 한국 2,000 年 （ ） A.I. — 、 ； 模型 训练 损失"
).split()


def changed(rng, words, vocabulary):
    """A copy with words dropped, doubled, replaced and swapped."""
    out = []
    for word in words:
        draw = rng.random()
        if draw < 0.12:
            continue
        out.append(rng.choice(vocabulary) if draw < 0.3 else word)
        if draw > 0.95:
            out.append(word)
    if len(out) > 1 and rng.random() < 0.5:
        i = rng.randrange(len(out) - 1)
        out[i], out[i + 1] = out[i + 1], out[i]
    return out


def pair(rng, index):
    """Hypothesis and reference; the first few are the odd cases."""
    odd = [("", ""), ("", "the cat"), ("the cat", ""), ("cat", "cat"), ("cat", "dog"), (".", "."), ("。", "。"), ("我", "我"),
           ("...", ". . ."), ("  the  cat ", "the cat"), ("the\u00a0cat", "the cat"), ("the\u2003cat sat on", "the cat sat on")]
    if index < len(odd):
        return odd[index]
    vocabulary, joint = (ENGLISH, " ") if index % 2 == 0 else (CHINESE, "")
    words = rng.choices(vocabulary, k=rng.choice([1, 2, 3, 5, 8, 13]))
    reference = joint.join(words)
    if rng.random() < 0.06:
        return reference, reference
    return joint.join(changed(rng, words, vocabulary)), reference


class Words:
    """Words of any script: a Han character or kana by itself, and longest runs of other letters and digits."""

    pattern = re.compile(r"[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f]"
                         r"|[^\W_\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f]+")

    def tokenize(self, text):
        return self.pattern.findall(text.lower())


def short(value):
    """Eleven decimals: the test compares to 1e-9."""
    return None if math.isnan(value) else round(float(value), 11)


def texts(rng):
    pairs = [pair(rng, index) for index in range(500)]
    sentence = [BLEU(tokenize=tok, effective_order=True) for tok in ["13a", "zh"]]
    kinds = ["rouge1", "rouge2", "rougeL"]
    rouge = [rouge_scorer.RougeScorer(kinds, tokenizer=t) if t else rouge_scorer.RougeScorer(kinds) for t in [None, Words()]]
    rows = []
    for hypothesis, reference in pairs:
        row = [bleu.sentence_score(hypothesis, [reference]).score for bleu in sentence]
        for scorer in rouge:
            found = scorer.score(reference, hypothesis)
            for kind in kinds:
                row += [found[kind].precision, found[kind].fmeasure]
        # The second scorer only where it says something else.
        rows.append([hypothesis, reference, *map(short, row[:8]), *([] if row[2:8] == row[8:] else map(short, row[8:]))])
    return rows


def corpora(rows):
    out = []
    options = [{}, {"tokenize": "zh"}, {"tokenize": "none"}, {"tokenize": "char"}, {"lowercase": True},
               {"smooth_method": "none"}, {"smooth_method": "floor"}, {"smooth_method": "add-k"},
               {"smooth_method": "floor", "smooth_value": 0.25}, {"effective_order": True, "tokenize": "zh"}]
    spans = [(0, 500, 2), (1, 500, 2), (0, 500, 1), (0, 1, 1), (1, 2, 1), (3, 6, 1), (40, 44, 1)]
    for start, end, step in spans:
        part = rows[start:end:step]
        for option in options:
            for shift in [None, 1]:
                references = [[row[1] for row in part]]
                if shift:
                    references.append([row[1] for row in part[shift:] + part[:shift]])
                bleu = BLEU(**option)
                found = bleu.corpus_score([row[0] for row in part], references)
                out.append({"span": [start, end, step], "option": option, "references": len(references),
                            "score": short(found.score), "precisions": [short(p) for p in found.precisions],
                            "bp": short(found.bp), "signature": str(bleu.get_signature())})
    return out


def classification(rng):
    out = []
    for classes, n, skill in [(2, 500, 0.8), (3, 200, 0.5), (5, 60, 0.6), (4, 6, 0.2), (2, 1, 0.0), (6, 8, 0.9)]:
        truth = [min(rng.randrange(classes), rng.randrange(classes)) for _ in range(n)]
        predicted = [t if rng.random() < skill else rng.randrange(classes) for t in truth]
        case = {"classes": classes, "truth": truth, "predicted": predicted, "accuracy": accuracy_score(truth, predicted),
                "confusion": confusion_matrix(truth, predicted, labels=range(classes)).tolist(), "scores": {}}
        for rule, zero in [("zero", 0), ("one", 1), ("undefined", numpy.nan)]:
            for average in [None, "macro", "micro", "weighted"]:
                found = precision_recall_fscore_support(truth, predicted, labels=range(classes), average=average,
                                                        zero_division=zero)
                numbers = [found[i] if average else found[i].tolist() for i in range(3)]
                if average:
                    numbers = [short(x) for x in numbers]
                else:
                    numbers = [[short(x) for x in row] for row in numbers]
                case["scores"][f"{rule} {average}"] = numbers
        out.append(case)
    return out


def calibration(rng):
    out = []
    for n, bins in [(500, 10), (40, 15), (3, 4)]:
        # Three decimals, so that some lie on the edges of bins.
        p = [round(rng.random(), 3 if n > 3 else 1) for _ in range(n)]
        came = [rng.random() < x**1.5 for x in p]
        share, confidence = calibration_curve(came, p, n_bins=bins)
        edges = numpy.linspace(0, 1, bins + 1)
        counts = numpy.bincount(numpy.searchsorted(edges[1:-1], p), minlength=bins)
        filled = counts[counts > 0]
        out.append({"bins": bins, "p": p, "came": [int(x) for x in came], "brier": brier_score_loss(came, p),
                    "counts": counts.tolist(), "confidence": [short(x) for x in confidence], "share": [short(x) for x in share],
                    "error": float((filled * abs(confidence - share)).sum() / n)})
    return out


def main():
    rng = random.Random(20260)
    rows = texts(rng)
    golden = {"by": {"scikit-learn": sklearn.__version__, "sacrebleu": sacrebleu.__version__, "rouge-score": "0.1.2"},
              "corpora": corpora(rows), "classification": classification(rng), "calibration": calibration(rng)}
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
    rest = {key: json.dumps(value, ensure_ascii=False, separators=(",", ":")) for key, value in golden.items()}
    text = "{" + ",\n".join(f'"{key}":{value}' for key, value in rest.items()) + ',\n"pairs":[\n' + ",\n".join(lines) + "\n]}\n"
    pathlib.Path(__file__).with_name("golden.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
