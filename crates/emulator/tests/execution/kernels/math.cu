// Single and double precision functions, and integer arithmetic of every kind.
extern "C" __global__ void math32(const float* x, float* o, int n) {
    int i = blockIdx.x*blockDim.x+threadIdx.x; if (i >= n) return; float a = x[i]; float* p = o + i*24;
    p[0]=sinf(a);p[1]=cosf(a);p[2]=tanf(a);p[3]=expf(a);p[4]=logf(fabsf(a));p[5]=powf(fabsf(a),1.7f);p[6]=sqrtf(fabsf(a));p[7]=rsqrtf(fabsf(a));
    p[8]=1.0f/a;p[9]=a/3.0f;p[10]=tanhf(a);p[11]=erff(a);p[12]=floorf(a);p[13]=ceilf(a);p[14]=rintf(a);p[15]=truncf(a);
    p[16]=fmodf(a,0.7f);p[17]=__expf(a);p[18]=__sinf(a);p[19]=__fdividef(a,2.5f);p[20]=exp2f(a);p[21]=log1pf(fabsf(a));p[22]=atan2f(a,2.f);p[23]=lgammaf(fabsf(a)+1.f);
}
extern "C" __global__ void math64(const double* x, double* o, int n) {
    int i = blockIdx.x*blockDim.x+threadIdx.x; if (i >= n) return; double a = x[i]; double* p = o + i*12;
    p[0]=sin(a);p[1]=exp(a);p[2]=log(fabs(a));p[3]=pow(fabs(a),1.7);p[4]=sqrt(fabs(a));p[5]=1.0/a;p[6]=a/3.0;p[7]=tanh(a);p[8]=erf(a);p[9]=floor(a);p[10]=fma(a,a,1.0);p[11]=rsqrt(fabs(a));
}
extern "C" __global__ void integers(const int* x, const int* y, long long* o) {
    int i = threadIdx.x; int a=x[i], b=y[i]; long long* p=o+i*24; unsigned ua=a, ub=b; long long la=(long long)a*b, lb=b; unsigned long long ul=la, um=lb;
    p[0]=a/b;p[1]=a%b;p[2]=ua/ub;p[3]=ua%ub;p[4]=la/lb;p[5]=la%lb;p[6]=ul/um;p[7]=ul%um;p[8]=__mulhi(a,b);p[9]=__umulhi(ua,ub);p[10]=__mul64hi(la,lb);p[11]=__umul64hi(ul,um);
    p[12]=a>>(b&31);p[13]=ua>>(ub&31);p[14]=a<<(b&31);p[15]=min(a,b)+max(ua,ub);p[16]=abs(a);p[17]=__sad(a,b,1u);p[18]=__funnelshift_l(a,b,7);p[19]=__dp4a(a,b,5);p[20]=__mul24(a,b);p[21]=(short)a*(short)b;p[22]=(char)a+(unsigned char)b;p[23]=__popcll(la)+__clzll(la);
}
