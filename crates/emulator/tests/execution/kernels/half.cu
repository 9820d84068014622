// Arithmetic on 16-bit floats.
#include <cuda_fp16.h>
#include <cuda_bf16.h>
extern "C" __global__ void half_ops(const __half* x, const __half* y, __half* o) {
    int i = threadIdx.x; __half a = x[i], b = y[i]; __half* p = o + i * 12;
    p[0]=a+b; p[1]=a-b; p[2]=a*b; p[3]=a/b; p[4]=__hfma(a,b,a); p[5]=hexp(a); p[6]=hsqrt(__habs(a)); p[7]=__hmax(a,b); p[8]=__hmin_nan(a,b); p[9]=hrcp(a);p[11]=-a;
    __half2 v=__halves2half2(a,b); v=__hfma2(v,v,v); p[0]=__low2half(v);
    if (__hgt(a,b)) p[1]=__float2half_rn(3.5f);
}
extern "C" __global__ void bf16_ops(const __nv_bfloat16* x, const __nv_bfloat16* y, __nv_bfloat16* o, float* f) {
    int i = threadIdx.x; __nv_bfloat16 a = x[i], b = y[i]; __nv_bfloat16* p = o + i * 12;
    p[0]=a+b; p[1]=a-b; p[2]=a*b; p[3]=a/b; p[4]=__hfma(a,b,a); p[5]=hexp(a); p[6]=hsqrt(__habs(a)); p[7]=__hmax(a,b); p[8]=__hmin_nan(a,b); p[9]=hrcp(a);p[10]=-a;p[11]=__float2bfloat16(float(i)*1.1f);
    __nv_bfloat162 v=__floats2bfloat162_rn(f[i],f[i+1]); v=__hmul2(v,v); f[i]=__low2float(v)+__high2float(v);
}
