//! The command line: what can be asked, and how errors are told. Exit codes: 0, 1 (failed), 2 (usage).

#[macro_use]
mod print;

mod answers;
mod bench;
mod chat;
mod classify;
mod convert;
mod data;
mod device;
mod doctor;
#[cfg(test)]
mod documents;
mod embed;
mod eval;
mod failure;
mod finetune;
mod flags;
mod generate;
mod inspect;
#[cfg(feature = "emulator")]
mod kernel;
mod labelled;
mod logits;
mod ops;
mod progress;
mod runs;
mod search;
mod selftest;
mod table;
mod texts;
mod tokenize;
mod train;

use std::process::ExitCode;

use clap::{Arg, Command};
pub use failure::Failure;

/// Runs the command that the words of the process ask for.
pub fn main() -> ExitCode {
    // One thread of the pool runs everything. From outside there would be one thread more than processors: a training step takes
    // as long, a step of decoding took 2 % longer.
    match rayon::scope(|_| run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run() -> Result<(), Failure> {
    let command = numbers_may_be_negative(command());
    let matches = command.try_get_matches().map_err(Failure::Clap)?;
    match matches.subcommand() {
        None => train::main_job(),
        Some(("train", args)) => train::run(args),
        Some(("generate", args)) => generate::run(args),
        Some(("chat", args)) => chat::run(args),
        Some(("eval", args)) => eval::run(args),
        Some(("data", args)) => data::run(args),
        Some(("embed", args)) => embed::run(args),
        Some(("inspect", args)) => inspect::run(args),
        Some(("convert", args)) => convert::run(args),
        Some(("finetune", args)) => finetune::run(args),
        Some(("classify", args)) => classify::run(args),
        Some(("tokenize", args)) => tokenize::run(args),
        Some(("logits", args)) => logits::run(args),
        Some(("ops", args)) => ops::run(args),
        Some(("bench", args)) => bench::run(args),
        Some(("doctor", args)) => doctor::run(args),
        #[cfg(feature = "emulator")]
        Some(("kernel", args)) => kernel::run(args),
        Some(("runs", args)) => runs::run(args),
        Some(("search", args)) => search::run(args),
        Some(("selftest", args)) => selftest::run(args),
        Some((other, _)) => Err(Failure::Usage(format!("unknown command {other}"))),
    }
}

/// `-1` behind a flag is its value, of which the command can say what is wrong; it is no flag that nobody knows.
fn numbers_may_be_negative(command: Command) -> Command {
    let value =
        |arg: Arg| if arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg };
    command.mut_args(value).mut_subcommands(numbers_may_be_negative)
}

fn command() -> Command {
    Command::new("warpsmith")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Train, run and look into Transformers, on an engine written from scratch.")
        .long_about(
            "Train, run and look into Transformers, on an engine written from scratch.\n\n\
             Without a command: trains a small GPT on the source text of this program, in under three minutes on two \
             cores, and lets it write.",
        )
        .disable_help_subcommand(true)
        .subcommands([
            train::command(),
            search::command(),
            runs::command(),
            generate::command(),
            chat::command(),
            eval::command(),
            data::command(),
            embed::command(),
            finetune::command(),
            classify::command(),
            tokenize::command(),
            logits::command(),
            inspect::command(),
            convert::command(),
            ops::command(),
            bench::command(),
            doctor::command(),
            #[cfg(feature = "emulator")]
            kernel::command(),
            selftest::command(),
        ])
}
