"""Golden ids of tokenizers, computed by Hugging Face transformers.

    pip install torch transformers
    python tests/golden/vocabularies.py          # writes tests/golden/vocabularies/

A corpus of 1,000 lines is put together of phrases in many scripts, code, emoji and what is broken. On part of it small
vocabularies of each kind are learned and written as the folders that models have. Of each line a CRC-32 of its ids and of the
text that they make is kept. Vocabularies that are there stay; who wants others removes the folder.
"""

import json
import pathlib
import random
import zlib

import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

OUT = pathlib.Path(__file__).parent / "vocabularies"
LINES = 1000

WORDS = [
    # Latin scripts, with what contractions and capitals do to them.
    "The quick brown fox jumps over the lazy dog.", "IT'S, you'Re, I'll, they'd've — don’t!", "naïve café über Straße",
    "Zażółć gęślą jaźń", "İstanbul'da IĞDIR ılık", "Đường phố Hà Nội rất đông", "Þetta er íslenska", "ﬁne oﬃce ﬂow",
    "HTTPServer getURLFor someCamelCase snake_case", "co-operate re-use x-ray's", "Ærøskøbing smørrebrød",
    # Other scripts.
    "Съешь же ещё этих мягких французских булок", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία", "שָׁלוֹם עולם טוב", "مرحبا بالعالم، كيف الحال؟",
    "नमस्ते दुनिया क्षत्रिय", "สวัสดีชาวโลกวันนี้อากาศดี", "안녕하세요 세계", "こんにちは世界。カタカナとひらがな", "ﾊﾝｶｸ ＡＢＣ　１２３",
    "你好，世界！今天天气很好。", "人工智能是计算机科学的一个分支", "「繁體中文」與『引號』", "𠮷野家で𩸽を食べる", "ありがとう ございます",
    "გამარჯობა მსოფლიო", "Բարեւ աշխարհ", "வணக்கம் உலகம்", "བཀྲ་ཤིས་བདེ་ལེགས", "ᚠᛇᚻ᛫ᛒᛦᚦ",
    # Numbers and signs.
    "3.14159 2,718,281 1e-10 0xDEADBEEF", "12 345 6789 ٠١٢٣ ४५६ Ⅷ ½ ²", "$5.00 €10 £7 ¥1000 50% #1 @user", "a+b=c; x≤y ∑∫√∞ ≠",
    "(see [1], {2}, <3>)", "...!!! ??? ---- ____ ////", "“quoted” ‘single’ «guillemets»", "v1.2.3-rc.4+build.5",
    # Code and the web.
    "fn main() { println!(\"hi\\n\"); }", "def f(x: int) -> str:\n    return f\"{x!r}\"\n", "for (int i=0;i<n;++i) a[i]+=b[i]*2;",
    "SELECT * FROM t WHERE id IN (1,2);", "https://example.org/a/b?q=1&r=%20#frag", "<div class='x'>&amp;</div>",
    "\tif err != nil {\r\n\t\treturn err\r\n\t}", "$ rm -rf ./build && make -j2", "{\"k\": [1, 2.5, null, true]}",
    # Emoji: joined, coloured, flags, keycaps, text style.
    "😀😂🥹", "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈", "🇩🇪🇨🇳🇺🇳", "1️⃣ ❤️ ☎︎", "🤷🏿‍♀️🧑🏻‍🚀",
    # What is broken, or seldom seen.
    "\ufffd\ufffd", "\x00\x01\x1b[31m", "\u0301alone e\u0301 é", "\u200d\u200b\u200e\u202e", "\ufeff", "\ue000\uf8ff", "\U0010ffff\ufdd0",
    "a\u0300\u0316\u0323b", "\u1100\u1161\u11a8 각", "\u00ad\u2028\u2029\x85", "à́̂̃", "\u212b \u2126 \u1e9e ǅ",
    # Special tokens as somebody may type them.
    "<|endoftext|>", "<s> </s> <unk>", "[CLS] [SEP] [MASK] [UNK]", "<|im_start|>user", "<pad>▁x ▁", "Ġthe Ċ ##ing",
]
BETWEEN = [" ", " ", " ", "", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", " \n ", "        "]


def corpus():
    rng = random.Random(12)
    lines = []
    while len(lines) < LINES:
        line = rng.choice(["", "", "", " ", "\n", "\t"])
        for _ in range(rng.randint(1, 4)):
            words = rng.choice(WORDS)
            if rng.random() < 0.4:  # a part, which may begin within a character of several code points
                start = rng.randrange(len(words))
                words = words[start : start + rng.randint(1, 12)]
            line += words + rng.choice(BETWEEN)
        lines.append(line if rng.random() < 0.5 else line.strip(" "))
    return lines


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")


def byte_level(lines, pattern, normalizer=None, special=("<|endoftext|>",)):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=[], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def vocab_and_merges(folder, tokenizer, settings):
    """The files of the tokenizers that came before `tokenizer.json`."""
    model = json.loads(tokenizer.to_str())["model"]
    vocab = model["vocab"] | {t: i for t, i in tokenizer.get_vocab().items() if t not in model["vocab"]}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def word_pieces(folder, lines, lower_case):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in vocab))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(tokenizer_class="BertTokenizer", do_lower_case=lower_case)))


def whole(folder, tokenizer, **named):
    """A `tokenizer.json`, and the class that reads it as it is."""
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(tokenizer_class="PreTrainedTokenizerFast", **named)))


def begins_with(tokenizer, token):
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, tokenizer.token_to_id(token))])


def sentence_pieces(lines):
    """As Llama 2 has it: spaces as signs, no words, bytes for what is not known."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)], show_progress=False,
        limit_alphabet=200, max_token_length=8)
    tokenizer.train_from_iterator(lines, trainer)
    # The bytes are pieces and no special tokens.
    file = json.loads(tokenizer.to_str())
    file["added_tokens"] = [token for token in file["added_tokens"] if token["content"] in special]
    tokenizer = Tokenizer.from_str(json.dumps(file))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    begins_with(tokenizer, "<s>")
    return tokenizer


def unigram(lines):
    """As T5 has it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=900, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))])
    return tokenizer


def truth(tokenizer, lines):
    """Of each line a sum of its ids, plain and with what the model wants around them, and the text that the plain ids make."""
    sums = []
    for line in lines:
        plain = tokenizer(line, add_special_tokens=False, split_special_tokens=True).input_ids
        framed = tokenizer(line, split_special_tokens=True).input_ids
        text = tokenizer.decode(plain, clean_up_tokenization_spaces=False)
        ids = b"".join(id.to_bytes(4, "little") for id in plain + framed)
        sums.append(f"{zlib.crc32(ids + text.encode()):08x}")
    return sums


def learn(lines):
    """Writes the folders, whose tokens are others each time: the trainers take pairs that are as frequent in any order."""
    OUT.mkdir()
    folder = lambda name: (OUT / name).mkdir() or OUT / name
    end = dict(eos_token="<|endoftext|>")
    gpt2 = dict(tokenizer_class="GPT2Tokenizer", bos_token="<|endoftext|>", unk_token="<|endoftext|>", **end)
    vocab_and_merges(folder("gpt2"), byte_level(lines, GPT2), gpt2)
    qwen2 = byte_level(lines, QWEN2, normalizers.NFC(), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    vocab_and_merges(folder("qwen2"), qwen2, dict(tokenizer_class="Qwen2Tokenizer", **end))
    llama3 = byte_level(lines, LLAMA3)
    begins_with(llama3, "<|endoftext|>")
    whole(folder("llama3"), llama3, bos_token="<|endoftext|>", **end)
    whole(folder("llama2"), sentence_pieces(lines), bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    whole(folder("t5"), unigram(lines), eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    word_pieces(folder("bert_uncased"), lines, True)
    word_pieces(folder("bert_cased"), lines, False)


def main():
    lines = corpus()
    if not OUT.exists():
        learn(lines[: LINES // 2])
    folders = sorted(place for place in OUT.iterdir() if place.is_dir())
    cases = {place.name: truth(AutoTokenizer.from_pretrained(place), lines) for place in folders}
    golden = dict(transformers=transformers.__version__, cases=cases)
    (OUT / "sums.json").write_text(json.dumps(golden, separators=(",", ":")).replace("],", "],\n") + "\n")
    (OUT / "corpus.json").write_text(json.dumps(lines, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main()
