"""Compiles CUDA C++ to PTX with NVRTC: nvrtc.py LIBRARY SOURCES OUT MODULE...

SOURCES/MODULE.cu becomes OUT/MODULE.ptx. Headers are handed over in memory, so that line tables name them by their path
under SOURCES on every machine. Needs no GPU and nothing but the Python standard library.
"""

import ctypes
import os
import pathlib
import re
import sys

OPTIONS = [b"--gpu-architecture=compute_80", b"--std=c++17", b"--generate-line-info", b"--fmad=true"]


def main():
    library, sources, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    nvrtc = ctypes.CDLL(library)
    headers = {path.relative_to(sources).as_posix(): path for path in sorted(sources.rglob("*.cu*"))}
    names = as_array([name.encode() for name in headers])
    texts = as_array([path.read_bytes() for path in headers.values()])
    failed = False
    for module in sys.argv[4:]:
        log, ptx = compile_module(nvrtc, (sources / f"{module}.cu").read_bytes(), f"{module}.cu", texts, names)
        if log:
            print(log, file=sys.stderr)
        if ptx is None:
            failed = True
        else:
            (out / f"{module}.ptx").write_text(tidy(ptx.decode()))
    sys.exit(1 if failed else 0)


def tidy(ptx):
    """Leaves out the names of inlined functions, which take more room than the code, and lines that say nothing: of places
    in the source where no instruction follows, and of constants that `static constexpr` leaves though nothing reads them.

    NVRTC puts the current folder before the names of sources; the repository's own path takes its place, so that the text
    is the same on every machine.
    """
    ptx = ptx.replace(f'"{os.getcwd()}/', '"kernels/')
    ptx = re.sub(r", function_name .*", "", ptx)
    ptx = re.sub(r"\n\s*\.section\s+\.debug_str.*?\n\s*}", "", ptx, flags=re.DOTALL)
    ptx = re.sub(r"(\t\.loc\t.*\n)(?=\t\.loc\t)", "", ptx)
    for line, name in re.findall(r"^(\.global \.align \d+ \.u32 (\w+) = \d+;\n)", ptx, flags=re.MULTILINE):
        if len(re.findall(rf"\b{name}\b", ptx)) == 1:
            ptx = ptx.replace(line, "")
    return re.sub(r"\n{3,}", "\n\n", ptx).strip() + "\n"


def as_array(values):
    return (ctypes.c_char_p * len(values))(*values)


def compile_module(nvrtc, text, name, headers, names):
    """The log and the PTX, or None if there are errors."""
    program = ctypes.c_void_p()
    check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, name.encode(), len(headers), headers, names))
    result = nvrtc.nvrtcCompileProgram(program, len(OPTIONS), as_array(OPTIONS))
    log = fetch(nvrtc, program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog).decode().strip()
    ptx = None if result else fetch(nvrtc, program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return log, ptx


def fetch(nvrtc, program, size_of, contents_of):
    size = ctypes.c_size_t()
    check(nvrtc, size_of(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    check(nvrtc, contents_of(program, buffer))
    return buffer.value


def check(nvrtc, result):
    if result:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        sys.exit(f"NVRTC: {nvrtc.nvrtcGetErrorString(result).decode()}")


main()
