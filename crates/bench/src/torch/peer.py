"""PyTorch's side of the kernel bench: asked line by line on standard input, it answers line by line on standard output.

A line is one JSON object with the key "do". Tensors follow the line that announces them, raw and row-major. An answer
with "error" or "unsupported" says in one line why something was not done. The bench puts attention.py and gpt.py behind
this file, and a call of main() behind those.
"""

import contextlib
import json
import os
import sys
import time

IN = sys.stdin.buffer
# Libraries print to standard output too, also those in C: the answers have the pipe for themselves.
OUT = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)


class Unsupported(Exception):
    pass


@contextlib.contextmanager
def attempt():
    """What fails when it is first tried is not done, whatever it is called: each library has a word of its own for that."""
    try:
        yield
    except Unsupported:
        raise
    except Exception as error:
        raise Unsupported(sentence(error)) from error


def sentence(error):
    """An error in one line, by what it began with: torch.compile wraps the words of others."""
    while error.__cause__ is not None:
        error = error.__cause__
    told = str(error).strip().splitlines()
    return f"{type(error).__name__}: {told[0] if told else ''}"


try:
    import torch
    import torch.nn.functional as F
except Exception as error:  # any failure to import is told, whatever it is
    IN.readline()
    OUT.write((json.dumps({"unsupported": f"torch cannot be imported: {error}"}) + "\n").encode())
    OUT.flush()
    sys.exit(0)

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64}
FLUSH_BYTES = 256 << 20


class State:
    device = torch.device("cpu")
    cases = {}
    flush = None


def receive(announced):
    """The tensors behind a line, on the device."""
    tensors = []
    for one in announced:
        raw = bytearray(IN.read(one["bytes"]))
        flat = torch.frombuffer(raw, dtype=DTYPES[one["dtype"]]) if raw else torch.empty(0, dtype=DTYPES[one["dtype"]])
        tensors.append(flat.reshape(one["dims"]).to(State.device))
    return tensors


def synchronize():
    if State.device.type == "cuda":
        torch.cuda.synchronize()


def names(task, compiled):
    """Who takes part in a task, and a line for each of those that might and cannot."""
    if task in ("step", "decode"):
        return model_names(task, compiled), []
    if task == "attention":
        return attention_names(compiled)
    plain = {
        "matmul": ["torch matmul"],
        "softmax": ["torch softmax"],
        "norm": ["torch norm"],
        "cross-entropy": ["torch cross_entropy"],
        "adamw": ["torch adamw fused", "torch adamw foreach"],
    }[task]
    return plain + ([COMPILED + task.replace("-", "_")] if compiled and task != "adamw" else []), []


# What the names of those begin with that torch.compile makes.
COMPILED = "torch.compile "


def compiled(forward):
    """The function compiled for one shape, in one piece: what falls back to eager is an error, and not timed as compiled."""
    return torch.compile(forward, fullgraph=True, dynamic=False)


def function(case):
    """What computes the forward pass from the inputs that have gradients (and those that have none)."""
    task = case.task
    if task == "attention":
        return attention(case)
    if task == "matmul":
        return torch.matmul
    if task == "softmax":
        return lambda x: torch.softmax(x, -1)
    if task == "norm":
        eps, width = case.attributes["eps"], [case.letters["C"]]
        if case.shape.startswith("rms"):
            return lambda x, w: F.rms_norm(x, width, w, eps)
        return lambda x, w, b: F.layer_norm(x, width, w, b, eps)
    if task == "cross-entropy":
        return F.cross_entropy
    raise Unsupported(f"PyTorch has no peer for {task}")


class Case:
    def __init__(self, line, inputs):
        self.task, self.name, self.shape = line["task"], line["name"], line["shape"]
        self.letters, self.attributes, self.names = line["letters"], line["attributes"], line["names"]
        self.is_backward, self.dtype = line["pass"] == "bwd", line["dtype"]
        self.is_compiled = self.name.startswith(COMPILED)
        self.inputs = inputs
        self.results = None
        self.has_run = self.was_timed = False
        self.ready()

    def ready(self):
        """Gets the next calls ready: for a backward pass, the forward pass whose tape is walked again and again."""
        at = dict(zip(self.names, self.inputs))
        if self.task != "adamw" and not hasattr(self, "forward"):
            self.forward = function(self)
            if self.is_compiled:
                self.forward = compiled(self.forward)
        if self.task == "adamw":
            self.update = self.optimizer()
        elif self.is_backward:
            if self.task == "softmax":
                # y is given: the kernel behind the gradient is asked for by its own name.
                return
            wanted = {"attention": "qkv", "matmul": "AB", "norm": ["x", "weight", "bias"], "cross-entropy": ["logits"]}
            leaves = [at[name] for name in wanted[self.task] if name in at]
            if self.task == "norm" and self.shape.startswith("layer"):
                leaves.append(torch.zeros_like(at["weight"]))
            self.leaves = [x.detach().requires_grad_() for x in leaves]
            extra = [at["targets"]] if self.task == "cross-entropy" else []
            self.output = self.forward(*self.leaves, *extra)
            self.grad = at[{"attention": "dout", "matmul": "G", "cross-entropy": "dloss"}.get(self.task, "g")]

    def optimizer(self):
        groups = [self.inputs[i : i + 4] for i in range(0, len(self.inputs), 4)]
        parameters = [torch.nn.Parameter(p) for p, _, _, _ in groups]
        a = self.attributes
        fused = "fused" in self.name
        settings = dict(lr=a["lr"], betas=(a["beta1"], a["beta2"]), eps=a["eps"], weight_decay=a["weight_decay"])
        optimizer = torch.optim.AdamW(parameters, **settings, fused=fused, foreach=not fused)
        for parameter, (_, g, m, v) in zip(parameters, groups):
            parameter.grad = g
            # The step counts up before it is used; the bench computes step 1000.
            step = torch.tensor(999.0, device=State.device if fused else "cpu")
            optimizer.state[parameter] = {"step": step, "exp_avg": m, "exp_avg_sq": v}
        self.parameters, self.states = parameters, [optimizer.state[p] for p in parameters]
        return optimizer

    def call(self):
        if self.task == "adamw":
            self.update.step()
        elif self.is_backward and self.task == "softmax":
            g, y = self.inputs
            self.results = [torch._softmax_backward_data(g, y, -1, y.dtype)]
        elif self.is_backward:
            self.results = torch.autograd.grad(self.output, self.leaves, self.grad, retain_graph=True)
        else:
            with torch.no_grad():
                self.results = [self.forward(*self.inputs)]

    def outputs(self):
        if self.task == "adamw":
            return [x for p, s in zip(self.parameters, self.states) for x in (p, s["exp_avg"], s["exp_avg_sq"])]
        return self.results

    def run(self):
        """Computes once; what was timed in the way in which it was timed, so that this is what is proven."""
        if self.was_timed and State.device.type == "cuda" and self.task != "adamw":
            self.graph()()
        else:
            self.call()
        self.has_run = True

    def sample(self, calls, cold):
        """Seconds per call. Cold: the caches are emptied before each call, outside the watch."""
        self.was_timed = True
        total = 0.0
        for count in [1] * calls if cold else [calls]:
            if cold:
                if State.flush is None:
                    State.flush = torch.ones(FLUSH_BYTES // 4, device=State.device)
                State.flush.add_(1)
            total += self.watch(count)
        if State.device.type == "cpu":
            # Its threads look for more work for some milliseconds, on the processors of whoever is next.
            time.sleep(0.005)
        return total / calls

    def watch(self, calls):
        if State.device.type != "cuda":
            start = time.perf_counter()
            for _ in range(calls):
                self.call()
            return time.perf_counter() - start
        replay = self.graph()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            replay()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    def graph(self):
        """The call as a recorded graph; the call itself where it cannot be recorded."""
        if not hasattr(self, "replay"):
            self.replay = self.call
            try:
                side = torch.cuda.Stream()
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    for _ in range(3):
                        self.call()
                torch.cuda.current_stream().wait_stream(side)
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    self.call()
                self.replay = graph.replay
            except Exception:
                torch.cuda.synchronize()
        return self.replay


def answer(line):
    do = line["do"]
    if do == "hello":
        torch.set_num_threads(line["threads"])
        State.device = torch.device(line["device"])
        if State.device.type == "cuda" and not torch.cuda.is_available():
            raise Unsupported("torch sees no CUDA device")
        if State.device.type == "cuda":
            # Streams, events and recordings are those of the current device.
            torch.cuda.set_device(State.device)
        return {"torch": torch.__version__}, []
    if do == "list":
        found, left_out = names(line["task"], line["compile"])
        return {"names": found, "left_out": left_out}, []
    if do == "prepare":
        inputs = receive(line["inputs"])
        # One function is compiled for eight shapes, and no more: those of earlier cases are forgotten.
        if line["name"].startswith(COMPILED) and not any(case.is_compiled for case in State.cases.values()):
            torch._dynamo.reset()
        with attempt():
            State.cases[line["id"]] = CASES.get(line["name"], Case)(line, inputs)
        return {}, []
    if do == "drop":
        State.cases.pop(line["id"], None)
        return {}, []
    case = State.cases[line["id"]]
    if do == "load":
        # Into the same memory: a recorded graph reads there.
        with torch.no_grad():
            for own, new in zip(case.inputs, receive(line["inputs"])):
                own.copy_(new)
        if hasattr(case, "replay"):
            del case.replay
        case.ready()
    elif do == "poison":
        case.results = None
    elif do == "run":
        with attempt() if not case.has_run else contextlib.nullcontext():
            case.run()
            synchronize()
    elif do == "outputs":
        tensors = [x.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes() if x.dim() else
                   x.detach().reshape(1).cpu().view(torch.uint8).numpy().tobytes() for x in case.outputs()]
        return {"bytes": [len(blob) for blob in tensors]}, tensors
    elif do == "sample":
        return {"seconds": case.sample(line["calls"], line["cold"])}, []
    return {}, []


def main():
    for raw in iter(IN.readline, b""):
        line = json.loads(raw)
        if line["do"] == "end":
            return
        blobs = []
        try:
            told, blobs = answer(line)
        except Unsupported as error:
            told = {"unsupported": str(error)}
        except Exception as error:
            told = {"error": sentence(error)}
        OUT.write((json.dumps(told) + "\n").encode())
        for blob in blobs:
            OUT.write(blob)
        OUT.flush()
