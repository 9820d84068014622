//! Every kernel under the emulator, against plain loops in f64. The emulator also looks for reads of what nobody wrote,
//! accesses past the end, and races.

mod attend;
mod classical;
mod counts;
mod counts_maps;
mod far;
mod gpu;
mod indices;
mod ladder;
mod maps;
mod products;
mod quantised;
mod reductions;
mod rows;
mod sampling;
mod specials;
mod updates;
