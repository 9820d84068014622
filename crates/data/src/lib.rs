//! Raw text to data sets.
//!
//! [`prepare::Preparation`] does the whole way: [`read`] files and folders, [`clean`] them, repair [`typos`], drop
//! [`duplicates`], [`split`] by class, tokenise, write [`shard`]s with a [`manifest`] and a data [`card`]. For classical
//! models there are [`balance`], [`augment`], [`bag`]s of words, [`scale`]rs and the columns of [`conllu`].
//!
//! ```
//! use warpsmith_data::clean::{Changed, Cleaning};
//! use warpsmith_data::duplicates::near;
//!
//! let mut changed = Changed::default();
//! let text = Cleaning::default().clean("<p>第一行&nbsp;text</p><script>x < y</script>".into(), &mut changed);
//! assert_eq!((text.as_str(), changed.html), ("第一行 text", 1));
//! assert_eq!(near(&["One Two, three!", "one two three"], 0.9).len(), 1);
//! ```
#![forbid(unsafe_code)]

pub mod augment;
pub mod bag;
pub mod balance;
pub mod card;
pub mod clean;
pub mod conllu;
pub mod duplicates;
mod error;
mod files;
pub mod manifest;
pub mod prepare;
pub mod read;
pub mod scale;
pub mod shard;
pub mod split;
pub mod typos;

pub use error::{Error, Result};
pub use files::{Entry, Files};
