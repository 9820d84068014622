"""Golden values of the model families, computed by Hugging Face transformers.

    pip install torch transformers sentence-transformers safetensors
    python tests/golden/families.py            # writes tests/golden/families/

Weights are not stored: each is a function of its name and of the index of the element (`noise`), which the tests
compute too. So a case costs its logits and little else, and names and shapes are part of what is tested.
"""

import json
import math
import pathlib
import shutil

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers.models import Normalize, Pooling
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

OUT = pathlib.Path(__file__).parent / "families"
T = 24
SEEN = torch.ones(1, T, dtype=torch.long)  # else transformers takes ids that equal the padding for padding
LEARNED = ["llama_bias_tied", "llama_yarn", "qwen3", "gpt2"]  # the cases whose gradients are kept, too


def noise(name, count):
    """Numbers in [-1, 1): SplitMix64 of the index, started by the FNV-1a hash of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & (2**64 - 1)
    with np.errstate(over="ignore"):
        z = np.uint64(state) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32)


def weights_of(model):
    """The weights by name. Sinusoids are none, though transformers counts them; a bias of the logits is, though it does not."""
    named = dict(model.named_parameters()) | {n: b for n, b in model.named_buffers() if n == "final_logits_bias"}
    return {n: p for n, p in named.items() if not (n.endswith("embed_positions.weight") and not p.requires_grad)}


def fill(model):
    """Sets all weights by `noise`: gains about 1, biases about 0, matrices of about unit variance in and out."""
    for name, p in weights_of(model).items():
        values = torch.from_numpy(noise(name, p.numel())).reshape(p.shape)
        if p.dim() > 1:
            values = values * float(np.float32(math.sqrt(3 / p.shape[-1])))
        else:
            values = values * float(np.float32(0.3)) + (1 if name.endswith("weight") else 0)
        with torch.no_grad():
            p.copy_(values)
    return model.eval()


BASE = dict(
    vocab_size=37, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, bos_token_id=None, eos_token_id=None,
)


def rope(kind, **kw):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=100.0, **kw))


CASES = {
    "llama": dict(model_type="llama", **BASE),
    "llama_bias_tied": dict(model_type="llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
                            head_dim=6, **BASE),
    "llama_linear": dict(model_type="llama", **rope("linear", factor=3.0), **BASE),
    "llama_dynamic": dict(model_type="llama", **rope("dynamic", factor=2.0),
                          **(BASE | dict(max_position_embeddings=16))),
    "llama_llama3": dict(model_type="llama", **rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                         original_max_position_embeddings=16), **BASE),
    "llama_yarn": dict(model_type="llama", **rope("yarn", factor=4.0, original_max_position_embeddings=16), **BASE),
    "mistral": dict(model_type="mistral", sliding_window=5, **BASE),
    "qwen2": dict(model_type="qwen2", use_sliding_window=True, sliding_window=7, max_window_layers=1,
                  tie_word_embeddings=True, **BASE),
    "qwen3": dict(model_type="qwen3", head_dim=12, **BASE),
    "gpt2": dict(model_type="gpt2", vocab_size=37, n_embd=32, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.0,
                 embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None),
}


def gradients(model, ids):
    """The loss of predicting each next id, and of each gradient its norm and its product with noise."""
    logits = model(ids).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
    loss.backward()
    rows = {}
    for name, p in model.named_parameters():
        g = p.grad.double().flatten()
        rows[name] = [float(g.norm()), float(g @ torch.from_numpy(noise("grad." + name, p.numel())).double())]
    model.zero_grad()
    return float(loss.detach()), rows


def causal():
    tensors, cases = {}, {}
    rng = np.random.default_rng(6)
    for name, config in CASES.items():
        config = dict(config)
        config = AutoConfig.for_model(config.pop("model_type"), **config)
        model = fill(AutoModelForCausalLM.from_config(config, attn_implementation="eager").float())
        ids = torch.from_numpy(rng.integers(0, 37, (1, T)))
        with torch.no_grad():
            tensors[name] = model(ids).logits[0].contiguous()
            greedy = model.generate(ids[:, :5], attention_mask=SEEN[:, :5], max_new_tokens=10, do_sample=False,
                                    pad_token_id=0)
        loss, grads = gradients(model, ids) if name in LEARNED else (None, None)
        cases[name] = dict(
            config=json.loads(config.to_json_string()),
            shapes={n: list(p.shape) for n, p in model.named_parameters()},
            ids=ids[0].tolist(), greedy=greedy[0, 5:].tolist(), loss=loss, gradients=grads,
        )
    return tensors, cases


BERT = dict(vocab_size=37, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
            max_position_embeddings=20, type_vocab_size=2)
ENCODERS = {
    "bert": ("AutoModel", {}),
    "bert_masked_lm": ("AutoModelForMaskedLM", dict(hidden_act="gelu_new")),
    "bert_sequence": ("AutoModelForSequenceClassification", dict(num_labels=3)),
    "bert_tokens": ("AutoModelForTokenClassification", dict(num_labels=5)),
    "bert_answers": ("AutoModelForQuestionAnswering", dict(hidden_act="relu")),
}


SEARCHES = [
    dict(num_beams=3, num_return_sequences=3),
    dict(num_beams=3, num_return_sequences=2, early_stopping=True),
    dict(num_beams=3, num_return_sequences=3, early_stopping="never", length_penalty=2.0),
    dict(num_beams=4, num_return_sequences=4, early_stopping="never", length_penalty=-1.0),
    dict(num_beams=4, num_return_sequences=1, length_penalty=0.0, no_repeat_ngram_size=2),
    dict(num_beams=2, num_return_sequences=2, repetition_penalty=1.4),
    dict(num_beams=2, num_return_sequences=2, sequence_bias=[[[7], -3.0], [[12], 2.0]]),
    dict(repetition_penalty=1.7),
    dict(no_repeat_ngram_size=2),
    dict(no_repeat_ngram_size=1, sequence_bias=[[[7], -3.0], [[12], 2.0]]),
]


def searches(model, prompt, ways, **kw):
    """The texts that `model` writes, and their scores; without the prompt, and without what stands behind an end."""
    texts, start = [], 1 if model.config.is_encoder_decoder else prompt.shape[1]
    for ends in [None, [3, 11, 20, 28]]:
        for how in ways:
            out = model.generate(prompt, attention_mask=SEEN[:, :prompt.shape[1]], max_new_tokens=9, do_sample=False,
                                 pad_token_id=36, eos_token_id=ends,
                                 return_dict_in_generate=True, output_scores=True, **how, **kw)
            tokens = [row[start:].tolist() for row in out.sequences]
            for row in tokens if ends else []:
                cut = [i for i, token in enumerate(row) if token in ends]
                del row[cut[0] + 1 if cut else len(row):]
            scores = out.sequences_scores.tolist() if how.get("num_beams") else None
            texts.append(dict(how=how, ends=ends or [], tokens=tokens, scores=scores))
    return texts


def decoding():
    """Greedy text and beams of two models, under penalties, with and without tokens that end a text."""
    cases = {}
    rng = np.random.default_rng(8)
    for name in ["llama", "gpt2"]:
        config = dict(CASES[name])
        config = AutoConfig.for_model(config.pop("model_type"), **config)
        model = fill(AutoModelForCausalLM.from_config(config, attn_implementation="eager").float())
        prompt = torch.from_numpy(rng.integers(0, 37, (1, 6)))
        texts = searches(model, prompt, SEARCHES)
        cases[name] = dict(prompt=prompt[0].tolist(), texts=texts)
    return {}, cases


def encoders():
    """Two sequences of 13 and 7 tokens, with sentence numbers; the second is padded and masked in transformers."""
    tensors, cases = {}, {}
    rng = np.random.default_rng(7)
    for name, (auto, extra) in ENCODERS.items():
        config = AutoConfig.for_model("bert", **(BERT | extra))
        model = fill(getattr(transformers, auto).from_config(config, attn_implementation="eager").float())
        ids, types = (torch.from_numpy(rng.integers(0, high, (2, 13))) for high in (37, 2))
        mask = torch.arange(13)[None] < torch.tensor([[13], [7]])
        with torch.no_grad():
            out = model(input_ids=ids, token_type_ids=types, attention_mask=mask.long())
        if name == "bert":
            tensors["bert.hidden"] = out.last_hidden_state
            share = mask[..., None] / mask.sum(1)[:, None, None]
            mean = (out.last_hidden_state * share).sum(1)
            tensors["bert.mean"] = mean / mean.norm(dim=1, keepdim=True)
            tensors["bert"] = out.pooler_output
        elif name == "bert_answers":
            tensors[name] = torch.stack([out.start_logits, out.end_logits], -1)
        else:
            tensors[name] = out.logits
        config.architectures = [type(model).__name__]
        cases[name] = dict(
            config=json.loads(config.to_json_string()),
            shapes={n: list(p.shape) for n, p in model.named_parameters()},
            ids=[ids[0].tolist(), ids[1, :7].tolist()], types=[types[0].tolist(), types[1, :7].tolist()],
        )
    return {n: t.contiguous() for n, t in tensors.items()}, cases


SENTENCES = {
    "qwen3": ("lasttoken", True),  # as Qwen3-Embedding has it
    "mistral": ("mean", False),
    "gpt2": ("cls", True),
    "llama_dynamic": ("mean", True),  # the longest sequence passes the first context
}


def sentences():
    """Vectors of three sequences by sentence-transformers, from bodies of decoders: their names have no prefix."""
    tensors, cases = {}, {}
    rng = np.random.default_rng(11)
    lengths = [20, 7, 1]
    for name, (pooling, normalise) in SENTENCES.items():
        config = dict(CASES[name])
        config = AutoConfig.for_model(config.pop("model_type"), **config)
        model = fill(AutoModel.from_config(config, attn_implementation="eager").float())
        rows, vectors = [], []
        for length in lengths:  # each alone: what stands beside a sequence is no part of the truth
            ids = torch.from_numpy(rng.integers(0, 37, (1, length)))
            mask = torch.ones(1, length, dtype=torch.long)
            with torch.no_grad():
                hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
                pool = Pooling(hidden.shape[-1], pooling_mode=pooling)
                features = pool(dict(token_embeddings=hidden, attention_mask=mask))
                features = Normalize()(features) if normalise else features
            rows.append(ids[0].tolist())
            vectors.append(features["sentence_embedding"][0])
        tensors[name] = torch.stack(vectors)
        cases[name] = dict(
            config=json.loads(config.to_json_string()), pooling=pooling, normalise=normalise, ids=rows,
            shapes={n: list(p.shape) for n, p in model.named_parameters()},
        )
    return tensors, cases


def classifiers():
    """Logits of labels by decoders: two sequences of 13 and 7 tokens, the second padded with id 0."""
    tensors, cases = {}, {}
    rng = np.random.default_rng(10)
    for name in ["gpt2", "llama", "qwen2"]:
        config = dict(CASES[name])
        config = AutoConfig.for_model(config.pop("model_type"), **config, num_labels=3, pad_token_id=0)
        auto = transformers.AutoModelForSequenceClassification
        model = fill(auto.from_config(config, attn_implementation="eager").float())
        ids = torch.from_numpy(rng.integers(1, 37, (2, 13)))
        mask = torch.arange(13)[None] < torch.tensor([[13], [7]])
        with torch.no_grad():
            tensors[name] = model(input_ids=ids * mask, attention_mask=mask.long()).logits.contiguous()
        config.architectures = [type(model).__name__]
        cases[name] = dict(
            config=json.loads(config.to_json_string()),
            shapes={n: list(p.shape) for n, p in model.named_parameters()},
            ids=[ids[0].tolist(), ids[1, :7].tolist()],
        )
    return tensors, cases


T5 = dict(vocab_size=37, d_model=24, d_kv=6, d_ff=40, num_layers=2, num_decoder_layers=3, num_heads=3,
          dropout_rate=0.0, relative_attention_num_buckets=8, relative_attention_max_distance=16, decoder_start_token_id=0)
# The original Transformer's form, and what translators made of it: other heads and widths on each side.
MARIAN = dict(vocab_size=37, decoder_vocab_size=37, d_model=24, encoder_layers=2, decoder_layers=3, encoder_attention_heads=4,
              decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, activation_function="relu", dropout=0.0,
              max_position_embeddings=80, scale_embedding=True, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
              forced_eos_token_id=None)
SEQ2SEQ = {
    "t5": ("t5", T5),
    "t5_gated": ("t5", T5 | dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "marian": ("marian", MARIAN),
    "marian_swish": ("marian", MARIAN | dict(activation_function="swish", scale_embedding=False, decoder_layers=1,
                                             decoder_attention_heads=3, encoder_ffn_dim=32)),
}


def seq2seq():
    """Two prompts of 21 and 8 tokens; the second is padded and masked in transformers. Answers of 19 tokens."""
    tensors, cases = {}, {}
    rng = np.random.default_rng(9)
    for name, (model_type, settings) in SEQ2SEQ.items():
        config = AutoConfig.for_model(model_type, **settings)
        model = fill(AutoModelForSeq2SeqLM.from_config(config).float())
        prompts, answers = (torch.from_numpy(rng.integers(1, 37, (2, length))) for length in (21, 19))
        answers[:, 0] = 0
        mask = torch.arange(21)[None] < torch.tensor([[21], [8]])
        with torch.no_grad():
            tensors[f"{name}.encoded"] = model.get_encoder()(prompts, attention_mask=mask.long()).last_hidden_state
            tensors[name] = model(input_ids=prompts, attention_mask=mask.long(), decoder_input_ids=answers).logits
            greedy = model.generate(prompts[:1], attention_mask=SEEN[:, :21], max_new_tokens=12,
                                    do_sample=False, eos_token_id=None, pad_token_id=0,
                                    use_cache=False)  # its cache has as many layers as the encoder
        cases[name] = dict(
            config=json.loads(config.to_json_string()),
            shapes={n: list(p.shape) for n, p in weights_of(model).items()},
            prompts=[prompts[0].tolist(), prompts[1, :8].tolist()], answers=answers.tolist(),
            greedy=greedy[0, 1:].tolist(),
            texts=searches(model, prompts[:1], SEARCHES, use_cache=False),
        )
    return {n: t.contiguous() for n, t in tensors.items()}, cases


def folders():
    """Folders as transformers writes them: one in shards and bf16, one of GPT-2."""
    for name, config, kw in [
        ("llama_sharded", dict(CASES["llama"], hidden_size=16, intermediate_size=24, head_dim=4),
         dict(max_shard_size="3KB")),
        ("gpt2_saved", dict(CASES["gpt2"], n_embd=8, n_head=2, n_layer=1, n_positions=16), {}),
    ]:
        config = AutoConfig.for_model(config.pop("model_type"), **config)
        model = fill(AutoModelForCausalLM.from_config(config))
        if kw:
            model = model.bfloat16()
        shutil.rmtree(OUT / name, ignore_errors=True)
        model.save_pretrained(OUT / name, **kw)
        # Read back: `bfloat16` has rounded the rotary frequencies too, which are no part of the folder.
        model = AutoModelForCausalLM.from_pretrained(OUT / name, dtype=torch.float32, attn_implementation="eager")
        with torch.no_grad():
            logits = model(torch.arange(8)[None]).logits
        save_file({"logits": logits[0].contiguous()}, OUT / f"{name}.safetensors")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    versions = dict(transformers=transformers.__version__, torch=torch.__version__)
    for name, make in [("causal", causal), ("encoders", encoders), ("sentences", sentences), ("classifiers", classifiers), ("seq2seq", seq2seq),
                       ("decoding", decoding)]:
        tensors, cases = make()
        if tensors:
            save_file(tensors, OUT / f"{name}.safetensors")
        (OUT / f"{name}.json").write_text(json.dumps(versions | dict(cases=cases)) + "\n")
    folders()
