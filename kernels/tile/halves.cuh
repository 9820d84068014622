// The 16-bit dtype of this module. The driver compiles a whole module before the first launch of one of its entries: the
// large kernels have one for bf16, and one for f16, `<name>_f16.cu`, which defines HALF and includes the other's source.
#pragma once
#ifndef HALF
#define HALF bf16
#endif

// ENTRIES(bf16) or ENTRIES(f16): by way of a second macro, or the entries' names would end in HALF.
#define FOR(T, ENTRIES) ENTRIES(T)
#define FOR_HALF(ENTRIES) FOR(HALF, ENTRIES)
