//! Tokenizers and tasks as a user meets them.

mod corpus;
mod damaged_vocabularies;
mod hostile_files;
mod published_files;
mod tasks;
#[path = "../../../../fuzz/read/tokenizer.rs"]
mod tokenizer;
mod tokenizers;
mod vocabulary_files;
