// bench: adamw fwd f32; grid (N*E+255)/256; block 256
//
// One step of AdamW on one parameter of E numbers (shape 1xE): p, m and v are written over.
//
//     warpsmith bench adamw --shapes 1x1000000 --kernel adamw.cu:adamw --device cuda

typedef float Real;

struct Args {
    Real* p;
    const Real* g;
    Real* m;
    Real* v;
    int N, E;
    float lr, beta1, beta2, eps, weight_decay, correction1, correction2;
};

extern "C" __global__ void adamw(const __grid_constant__ Args a) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= a.E) return;
    const float g = a.g[i];
    const float m = a.m[i] + (1.0f - a.beta1) * (g - a.m[i]);
    const float v = a.beta2 * a.v[i] + (1.0f - a.beta2) * g * g;
    const float update = m / a.correction1 / (sqrtf(v / a.correction2) + a.eps);
    a.p[i] = a.p[i] * (1.0f - a.lr * a.weight_decay) - a.lr * update;
    a.m[i] = m;
    a.v[i] = v;
}
