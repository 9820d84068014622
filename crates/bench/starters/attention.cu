// bench: attention fwd f32; grid T, H, B; block 32
//
// out = softmax(q·kᵀ·scale)·v, slow and right: a warp per query row, its numbers spread over the lanes. D up to 256.
// q and out are (B, T, H, D), k and v (B, T, Hkv, D), all without gaps; causal is 1 or 0.
//
//     warpsmith bench attention --kernel attention.cu:attention --device cuda

typedef float Real;

struct Args {
    const Real* q;
    const Real* k;
    const Real* v;
    Real* out;
    int B, T, H, Hkv, D, causal;
    float scale;
};

__device__ float warp_sum(float x) {
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

extern "C" __global__ void attention(const __grid_constant__ Args a) {
    const int t = blockIdx.x, h = blockIdx.y, b = blockIdx.z, lane = threadIdx.x;
    const long long query = (((long long)b * a.T + t) * a.H + h) * a.D;
    float q[8], out[8];
    for (int i = 0; i < 8; i++) {
        const int d = lane + 32 * i;
        q[i] = d < a.D ? a.q[query + d] : 0.0f;
        out[i] = 0.0f;
    }
    float max = __int_as_float(0xff800000) /* -∞ */, sum = 0.0f;
    const int keys = a.causal ? t + 1 : a.T;
    for (int j = 0; j < keys; j++) {
        const long long key = (((long long)b * a.T + j) * a.Hkv + h / (a.H / a.Hkv)) * a.D;
        float score = 0.0f;
        for (int i = 0; i < 8; i++) {
            const int d = lane + 32 * i;
            if (d < a.D) score += q[i] * a.k[key + d];
        }
        score = warp_sum(score) * a.scale;
        // A larger maximum shrinks what was summed so far.
        const float larger = fmaxf(max, score), shrink = expf(max - larger), p = expf(score - larger);
        sum = sum * shrink + p;
        max = larger;
        for (int i = 0; i < 8; i++) {
            const int d = lane + 32 * i;
            if (d < a.D) out[i] = out[i] * shrink + p * a.v[key + d];
        }
    }
    for (int i = 0; i < 8; i++) {
        const int d = lane + 32 * i;
        if (d < a.D) a.out[query + d] = out[i] / sum;
    }
}
