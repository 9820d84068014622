//! Data races and copies in flight, judged by what happens before what and not by what happened to come out.
//!
//! Every few bytes of memory have a shadow: the last write, and the reads since. An access conflicts with an earlier one of
//! another thread if at least one of the two writes and nothing orders them (PTX manual 8.4, "Memory consistency model").
//! What orders, and what does not:
//!
//! | | orders |
//! |---|---|
//! | `bar.sync` and kin | all that the threads arriving did before, before all that those waiting do after |
//! | `bar.warp.sync` | the same for the lanes of its mask |
//! | fence, then strong write; strong read of it, then fence | what the writer did before, before what the reader does after |
//! | `.release` and `.acquire` accesses | the same without a fence |
//! | end of the kernel | everything |
//! | `shfl`, `vote`, `match`, `redux`, `mma`, being in one warp | nothing |
//! | an atomic by itself | nothing; but two atomics do not race if their scopes hold both threads |
//!
//! **One instruction.** Lanes of a warp that store the same value to the same place by one instruction do not race: CUDA promises
//! that one of the stores is made, and all are alike. Two warps, or two values, race.
//!
//! **Copies.** `cp.async` writes as if by another agent: its bytes may be touched by nobody until the issuing thread has
//! waited for its group, and by other threads only after a barrier behind that. Its read of global memory counts when it
//! is issued.
//!
//! **How exact it is.** As long as a kernel synchronises by barriers of whole blocks and whole warps, the readers of a
//! word are kept as one summary, which loses nothing: such barriers order all of them or none. From the first other
//! synchronisation on, they are listed one by one; summaries from before that are read generously. An atomic replaces
//! the one before it, so a plain access is compared with the latest alone. Threads that exit count as having arrived at
//! every later barrier. So a report is a race by the manual, and silence covers the accesses that this launch made.

mod cell;
mod clocks;
mod conflict;
mod copies;
mod footprints;
mod knowledge;
mod races;
mod shadow;
mod stamp;

pub use clocks::Scope;
pub use conflict::{Action, Conflict, Party, Place};
pub use footprints::Footprints;
pub use races::{BlockRaces, Effect, Races, WarpAccess};

#[cfg(test)]
mod tests;
