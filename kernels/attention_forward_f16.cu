// Computes: what attention_forward.cu does, where all is said, for f16.
#define HALF f16
#include "attention_forward.cu"
