// One product on the tensor core, by way of cp.async and ldmatrix.
#include <cuda_bf16.h>
extern "C" __global__ void tile_product(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) {
    __shared__ __align__(16) __nv_bfloat16 sa[16*16], sb[16*8];
    int t=threadIdx.x;
    unsigned pa=(unsigned)__cvta_generic_to_shared(sa), pb=(unsigned)__cvta_generic_to_shared(sb);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"::"r"(pa+t*16),"l"(a+t*8));
    if (t<16) asm volatile("cp.async.ca.shared.global [%0], [%1], 16;"::"r"(pb+t*16),"l"(b+t*8));
    asm volatile("cp.async.commit_group;"); asm volatile("cp.async.wait_group 0;"); __syncthreads();
    unsigned A[4],B[2]; float C[4]={0,0,0,0};
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];":"=r"(A[0]),"=r"(A[1]),"=r"(A[2]),"=r"(A[3]):"r"(pa+(t%16)*32+(t/16)*16));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];":"=r"(B[0]),"=r"(B[1]):"r"(pb+(t%16)*16));
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};":"+f"(C[0]),"+f"(C[1]),"+f"(C[2]),"+f"(C[3]):"r"(A[0]),"r"(A[1]),"r"(A[2]),"r"(A[3]),"r"(B[0]),"r"(B[1]));
    int g=t/4,q=t%4; c[g*8+q*2]=C[0];c[g*8+q*2+1]=C[1];c[(g+8)*8+q*2]=C[2];c[(g+8)*8+q*2+1]=C[3];
}
