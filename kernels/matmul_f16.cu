// Computes: what matmul.cu does, where all is said, for f16.
#define HALF f16
#include "matmul.cu"
