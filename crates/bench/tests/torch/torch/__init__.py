"""As much of torch as the bench's script asks for in the task softmax, on plain lists; FAKE_TORCH says what goes wrong.

A word of it counts from the fifth softmax on where it is about a peer that was right at first.
"""

import array
import contextlib
import math
import os
import sys
import time
import types

__version__ = "0.0.1+fake"
TRICK = os.environ.get("FAKE_TORCH", "")
CALLS = 0

float32, float16, bfloat16, int64, uint8 = "f", "e", "b16", "q", "B"


class device:
    def __init__(self, name):
        self.type = name.split(":")[0]


class Huge(bytes):
    def __len__(self):
        return 1 << 40


class Tensor:
    def __init__(self, values, dims):
        self.values, self.dims = values, list(dims)

    def reshape(self, dims):
        return Tensor(self.values, dims)

    def dim(self):
        return len(self.dims)

    def copy_(self, other):
        self.values[:] = other.values

    def add_(self, _):
        return self

    def tobytes(self):
        return (Huge if TRICK == "gives 1 TB" else bytes)(self.values.tobytes())

    def _same(self, *_):
        return self

    to = detach = contiguous = cpu = view = numpy = requires_grad_ = _same


def frombuffer(raw, dtype):
    return Tensor(array.array(dtype, bytes(raw)), [len(raw) // 4])


def empty(count, dtype):
    return Tensor(array.array(dtype, [0] * count), [count])


def ones(count, device):
    return empty(1, float32)


FIRST = []


def softmax(x, axis):
    global CALLS
    CALLS += 1
    late = CALLS >= 5
    if TRICK == "raises" or (TRICK == "raises late" and late):
        raise RuntimeError("no kernel image\nis available")
    if late and TRICK == "exits":
        os._exit(3)
    if late and TRICK == "is killed":
        os.kill(os.getpid(), 9)
    if late and TRICK == "hangs":
        time.sleep(3600)
    if late and TRICK == "speaks":
        sys.modules["__main__"].OUT.write(b"Hello, world\n")
    if TRICK == "prints":
        print("to the standard output of Python")
        os.write(1, b"to that of C\n")
    rows, columns = x.dims
    out = array.array("f")
    for row in range(rows):
        values = x.values[row * columns : (row + 1) * columns]
        most = max(values)
        powers = [math.exp(v - most) for v in values]
        out.extend(p / sum(powers) for p in powers)
    out = Tensor(out, x.dims)
    FIRST.append(out)
    if TRICK == "zeros" or (TRICK == "tires" and late):
        return Tensor(array.array("f", [0.0] * len(out.values)), out.dims)
    if TRICK == "is stale":
        return FIRST[0]
    if TRICK == "does half":
        return Tensor(out.values[: len(out.values) // 2] + array.array("f", [0.0] * (len(out.values) // 2)), out.dims)
    if TRICK == "is short":
        return Tensor(out.values[:-1], [len(out.values) - 1])
    return out


@contextlib.contextmanager
def no_grad():
    yield


def set_num_threads(_):
    pass


def compile(function, fullgraph=False, dynamic=None):
    if not fullgraph or dynamic is not False:
        raise RuntimeError("what falls back to eager would be timed as compiled")
    if TRICK == "does not compile":
        raise RuntimeError("no C++ compiler")
    return function


_dynamo = types.SimpleNamespace(reset=lambda: None)

if TRICK == "has no clock":
    time.perf_counter = lambda: 1.0

# Each second question for the time is the end of a sample.
if "FAKE_TORCH_LOG" in os.environ:
    _clock, _asked = time.perf_counter, [0]

    def _logged():
        _asked[0] += 1
        if _asked[0] % 2 == 0:
            with open(os.environ["FAKE_TORCH_LOG"], "a") as log:
                log.write("t")
        return _clock()

    time.perf_counter = _logged


class _Event:
    def __init__(self, enable_timing):
        pass

    def record(self):
        self.at = time.monotonic()

    def synchronize(self):
        pass

    def elapsed_time(self, other):
        return max(1e3 * (other.at - self.at), 1e-6)


class _Graph:
    """What is called while it records is called again by a replay, into the same memory."""

    def replay(self):
        if TRICK != "replays nothing":
            case = next(iter(sys.modules["__main__"].State.cases.values()))
            kept = case.results[0]
            case.call()
            kept.values[:] = case.results[0].values
            case.results = [kept]


class _Recording:
    def __init__(self, graph):
        pass

    def __enter__(self):
        pass

    def __exit__(self, *_):
        # A recording computes nothing: what it gives is memory.
        case = next(iter(sys.modules["__main__"].State.cases.values()))
        for result in case.results:
            result.values[:] = array.array("f", [0.0] * len(result.values))


class _Stream:
    def wait_stream(self, _):
        pass


cuda = types.SimpleNamespace(
    is_available=lambda: True,
    set_device=lambda _: None,
    synchronize=lambda: None,
    Event=_Event,
    Stream=_Stream,
    current_stream=_Stream,
    stream=lambda _: contextlib.nullcontext(),
    CUDAGraph=_Graph,
    graph=_Recording,
)
