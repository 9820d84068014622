"""The GPT of the tasks step and decode, in PyTorch and in Hugging Face's transformers: a part of peer.py."""

import importlib.util

NORM_EPS = 1e-5


class Gpt:
    """nanoGPT's model over a list of parameters in the engine's order; weights of linear layers lie as torch's do, (out, in)."""

    def __init__(self, letters, values):
        self.heads, self.width, self.layers = letters["H"], letters["C"], letters["L"]
        self.parameters = [turned(i, x.detach()).clone() for i, x in enumerate(values)]

    def forward(self, ids, cache=None, past=0):
        """Logits at all places, or at the last one if there is a cache to go on from."""
        parameters = iter(self.parameters)
        wte, wpe = next(parameters), next(parameters)
        x = F.embedding(ids, wte) + wpe[past : past + ids.shape[1]]
        for layer in range(self.layers):
            norm, qkv, out, norm2, fc, proj = ((next(parameters), next(parameters)) for _ in range(6))
            h = F.linear(F.layer_norm(x, (self.width,), *norm, NORM_EPS), *qkv)
            x = x + F.linear(self.attention(h, cache and cache[layer], past), *out)
            h = F.gelu(F.linear(F.layer_norm(x, (self.width,), *norm2, NORM_EPS), *fc))
            x = x + F.linear(h, *proj)
        x = x if cache is None else x[:, -1:]
        return F.linear(F.layer_norm(x, (self.width,), next(parameters), next(parameters), NORM_EPS), wte)

    def attention(self, qkv, cache, past):
        b, t, _ = qkv.shape
        q, k, v = (x.view(b, t, self.heads, -1).transpose(1, 2) for x in qkv.split(self.width, -1))
        if cache is not None:
            for kept, new in zip(cache, (k, v)):
                kept[:, :, past : past + t] = new
            k, v = (kept[:, :, : past + t] for kept in cache)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
        return y.transpose(1, 2).reshape(b, t, self.width)


def turned(i, x):
    """(in, out) as (out, in) and back, of the weights of linear layers, which stand behind both embeddings."""
    return x.t().contiguous() if i >= 2 and x.dim() == 2 else x


def products(case):
    """Where products take operands in bf16, if that is asked for."""
    if case.dtype == "bf16":
        return torch.autocast(State.device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


class StepCase(Case):
    """A training step: forward, loss, backward, clipping, AdamW."""

    def ready(self):
        self.ids, self.targets = self.inputs[0].long(), self.inputs[1].long()
        gpt = Gpt(self.letters, self.inputs[2:])
        if hasattr(self, "gpt"):
            # Into the memory for which it was compiled.
            with torch.no_grad():
                for own, new in zip(self.gpt.parameters, gpt.parameters):
                    own.copy_(new)
        else:
            self.gpt = gpt
            self.gpt.parameters = [torch.nn.Parameter(x) for x in gpt.parameters]
            self.run_forward = compiled(gpt.forward) if self.is_compiled else gpt.forward
        a = self.attributes
        groups = [
            {"params": [p for p in self.gpt.parameters if p.dim() >= 2], "weight_decay": a["weight_decay"]},
            {"params": [p for p in self.gpt.parameters if p.dim() < 2], "weight_decay": 0.0},
        ]
        settings = dict(lr=a["lr"], betas=(a["beta1"], a["beta2"]), eps=a["eps"])
        try:
            self.optimizer = torch.optim.AdamW(groups, **settings, fused=True)
        except RuntimeError:
            self.optimizer = torch.optim.AdamW(groups, **settings)
        # Backward and optimiser are not recorded as a graph: that is how such a step is run.
        self.replay = self.call

    def call(self):
        with products(self):
            logits = self.run_forward(self.ids)
            loss = F.cross_entropy(logits.view(-1, logits.shape[-1]), self.targets.view(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.gpt.parameters, self.attributes["grad_clip"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.results = loss.detach()

    def outputs(self):
        moments = [self.optimizer.state[p]["exp_avg"] for p in self.gpt.parameters]
        both = [turned(i, x) for all in (moments, self.gpt.parameters) for i, x in enumerate(all)]
        return [self.results.float(), *both]


class DecodeCase(Case):
    """Greedy decoding with a cache that is large enough from the start."""

    def ready(self):
        self.prompt = self.inputs[0].long()[None]
        self.gpt = Gpt(self.letters, self.inputs[1:])
        heads, width, length = self.gpt.heads, self.gpt.width // self.gpt.heads, self.letters["P"] + self.letters["N"]
        # What a product gives under autocast is bf16, and so are its keys and values.
        dtype = torch.bfloat16 if self.dtype == "bf16" else torch.float32
        room = lambda: torch.zeros(1, heads, length, width, device=State.device, dtype=dtype)
        self.cache = [(room(), room()) for _ in range(self.gpt.layers)]
        self.replay = self.call

    def call(self):
        with torch.inference_mode(), products(self):
            ids, past, tokens = self.prompt, 0, []
            for _ in range(self.letters["N"]):
                token = self.gpt.forward(ids, self.cache, past)[:, -1].argmax(-1, keepdim=True)
                tokens.append(token)
                ids, past = token, past + ids.shape[1]
            self.results = [torch.cat(tokens, 1)[0]]


class GenerateCase(Case):
    """transformers' GPT-2 with its own generate."""

    def ready(self):
        from transformers import GPT2Config, GPT2LMHeadModel

        letters = self.letters
        self.prompt = self.inputs[0].long()[None]
        config = GPT2Config(
            vocab_size=letters["V"], n_positions=letters["P"] + letters["N"], n_embd=letters["C"],
            n_layer=letters["L"], n_head=letters["H"], activation_function="gelu", layer_norm_epsilon=NORM_EPS,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None,
        )
        self.model = GPT2LMHeadModel(config).to(State.device).eval()
        of_layer = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]
        layers = [f"h.{i}.{part}.{kind}" for i in range(letters["L"]) for part in of_layer for kind in ("weight", "bias")]
        names = ["wte.weight", "wpe.weight", *layers, "ln_f.weight", "ln_f.bias"]
        at = dict(self.model.transformer.named_parameters())
        with torch.no_grad():
            for name, value in zip(names, self.inputs[1:], strict=True):
                at[name].copy_(value)
        self.replay = self.call

    def call(self):
        n = self.letters["N"]
        with torch.inference_mode(), products(self):
            ids = self.model.generate(
                self.prompt, attention_mask=torch.ones_like(self.prompt), max_new_tokens=n, min_new_tokens=n,
                do_sample=False, pad_token_id=0,
            )
        self.results = [ids[0, self.prompt.shape[1] :]]


CASES = {"torch step": StepCase, COMPILED + "step": StepCase, "torch decode": DecodeCase}
CASES["transformers generate"] = GenerateCase


def model_names(task, compiled):
    """Who takes part in the tasks of a whole model."""
    if task == "step":
        return ["torch step"] + ([COMPILED + "step"] if compiled else [])
    has_transformers = importlib.util.find_spec("transformers") is not None
    return ["torch decode"] + (["transformers generate"] if has_transformers else [])
