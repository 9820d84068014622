//! Layouts, views and memory against oracles that know nothing of strides.

mod arena;
mod layouts;
mod writing;
