"""Golden values of GGUF's quantisations, dequantised by the package `gguf`.

    pip install numpy gguf
    python tests/golden/quantised.py              # writes tests/golden/gguf/

`blocks.gguf` holds a tensor of each kind, so large that another kind or shape needs another number of aligned bytes.
Their bytes are random (a pattern of any bits means something in every kind), but for the scales, which are ordinary
numbers; `blocks.f32` holds their numbers, one tensor after the other in the order of their names. `q8_0.f32` are
numbers, `q8_0.bin` their blocks.
"""

import pathlib

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

OUT = pathlib.Path(__file__).parent / "gguf"
# Where the f16 scales of a block stand.
SCALES = {
    Kind.F16: [], Kind.BF16: [], Kind.F32: [], Kind.Q4_0: [0], Kind.Q4_1: [0, 2], Kind.Q5_0: [0], Kind.Q5_1: [0, 2],
    Kind.Q8_0: [0], Kind.Q4_K: [0, 2], Kind.Q6_K: [208],
}

if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    rng = np.random.default_rng(5)
    writer = GGUFWriter(OUT / "blocks.gguf", "llama")
    writer.add_uint32("test.count", 7)
    writer.add_float32("test.share", 0.25)
    writer.add_string("test.text", "zwölf 十二")
    writer.add_array("test.words", ["a", "", "ü"])
    writer.add_array("test.numbers", [3, 1, 4])
    numbers = {}
    for kind, scales in SCALES.items():
        length, size = GGML_QUANT_SIZES[kind]
        if not scales:
            values = rng.normal(size=(16, 16)).astype(np.float32)
            if kind == Kind.BF16:
                data = quantize(values, kind)
                values = dequantize(data, kind)
            else:
                data = values.astype(np.float16 if kind == Kind.F16 else np.float32)
                values = data.astype(np.float32)
        else:
            # Two rows of 512 numbers.
            count = 2 * 512 // length
            data = rng.integers(0, 256, (2, 512 // length * size), dtype=np.uint8)
            blocks = data.reshape(count, size)
            for at in scales:
                blocks[:, at:at + 2] = rng.normal(size=(count, 1)).astype(np.float16).view(np.uint8)
            values = dequantize(data, kind)
        numbers[kind.name] = values
        writer.add_tensor(kind.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    names = sorted(t.name for t in GGUFReader(OUT / "blocks.gguf").tensors)
    flat = [numbers[name].astype("<f4").ravel() for name in names]
    (OUT / "blocks.f32").write_bytes(np.concatenate(flat).tobytes())
    values = (rng.normal(size=(4, 32)) * np.array([[1], [1e-3], [300], [0]])).astype("<f4")
    (OUT / "q8_0.f32").write_bytes(values.tobytes())
    (OUT / "q8_0.bin").write_bytes(quantize(values, Kind.Q8_0).tobytes())
