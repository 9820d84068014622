"""Writes golden.json beside this file: TF-IDF and scalers by scikit-learn.

    pip install scikit-learn
    python make.py

The texts are the 500 pairs of the metrics' golden file, joined; of most rows only a sum is kept.
"""

import json
import pathlib
import random
import re

import numpy
import sklearn
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import MinMaxScaler, StandardScaler

HERE = pathlib.Path(__file__).parent
UNSPACED = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"
WORDS = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
WHOLE = 20


def short(value, digits=14):
    """So many digits that count."""
    return float(f"{value:.{digits}g}")


def bags():
    pairs = json.loads((HERE / "../../../metrics/tests/golden/golden.json").read_text())["pairs"]
    texts = [f"{pair[0]} {pair[1]}" for pair in pairs]
    out = []
    for runs, min_texts, tf_idf in [((1, 1), 1, True), ((1, 2), 2, True), ((2, 3), 3, True), ((1, 2), 5, False)]:
        kind = TfidfVectorizer if tf_idf else CountVectorizer
        bag = kind(tokenizer=WORDS.findall, token_pattern=None, ngram_range=runs, min_df=min_texts)
        rows = bag.fit_transform(texts)
        # Sums that see both the place and the value of each number.
        sums = [short(sum(v * (c + 1) for c, v in zip(r.indices, r.data))) for r in rows]
        row = lambda r: sorted((int(c), short(v)) for c, v in zip(r.indices, r.data))
        out.append({"runs": runs, "min_texts": min_texts, "tf_idf": tf_idf, "terms": len(bag.vocabulary_), "sums": sums,
                    "first": [row(rows[i]) for i in range(WHOLE)]})
    return out


def scalers():
    rng = random.Random(5)
    columns = [lambda: rng.uniform(-3, 5), lambda: 1e3 + rng.gauss(0, 0.1), lambda: 0.1, lambda: rng.expovariate(1e-6),
               lambda: float(rng.randrange(2)), lambda: -1e-9 * rng.random()]
    rows = numpy.array([[short(column(), 7) for column in columns] for _ in range(500)])
    fitted = {name: kind().fit(rows) for name, kind in [("min_max", MinMaxScaler), ("standard", StandardScaler)]}
    out = {"rows": rows.tolist()}
    for name, scaler in fitted.items():
        scaled = scaler.transform(rows)
        out[name] = {"first": [[short(x) for x in row] for row in scaled[:WHOLE]],
                     "sums": [short(x) for x in (scaled * numpy.arange(1, 7)).sum(axis=1)]}
    return out


if __name__ == "__main__":
    golden = {"by": {"scikit-learn": sklearn.__version__}, "bags": bags(), "scalers": scalers()}
    (HERE / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
