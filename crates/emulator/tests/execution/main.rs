//! Kernels that nvcc's compiler wrote, run and compared with what they should give; kernels that break a rule, and
//! the fault that says so; texts that are not PTX.
#![forbid(unsafe_code)]

mod arithmetic;
mod atomics;
mod blocks;
mod committed;
mod faults;
mod flow;
mod fuzz;
mod machine;
mod matrix;
mod mutations;
mod together;
mod vectors;
mod warps;
mod wmma;
