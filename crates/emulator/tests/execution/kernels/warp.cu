// Instructions over a warp.
#define ALL 0xffffffffu
extern "C" __global__ void warp_ops(unsigned* out) {
    unsigned lane = threadIdx.x;
    unsigned* o = out + lane * 16;
    o[0] = __shfl_up_sync(ALL, lane, 3);
    o[1] = __shfl_down_sync(ALL, lane, 5, 16);
    o[2] = __shfl_sync(ALL, lane * lane, lane / 2, 8);
    o[3] = __shfl_xor_sync(ALL, lane, 9);
    o[4] = __ballot_sync(ALL, lane % 3 == 0);
    o[5] = __all_sync(ALL, lane < 32);
    o[6] = __any_sync(ALL, lane > 31);
    o[7] = __match_any_sync(ALL, lane % 5);
    int same; o[8] = __match_all_sync(ALL, lane / 32, &same); o[9] = same;
    o[10] = __reduce_add_sync(ALL, lane);
    o[11] = __reduce_max_sync(ALL, (int)lane - 16);
    o[12] = __reduce_xor_sync(ALL, lane * 77);
    if (lane & 1) o[13] = __shfl_sync(0xaaaaaaaau, lane, 7); else o[13] = __activemask();
    __syncwarp();
    o[14] = __popc(lane) + __clz(lane) + __ffs(lane) + __brev(lane);
    o[15] = __byte_perm(lane * 0x01010101u, 0x89abcdefu, 0x7410 + lane);
}
