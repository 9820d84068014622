// Computes: what attention_backward.cu does, where all is said, for f16.
#define HALF f16
#include "attention_backward.cu"
