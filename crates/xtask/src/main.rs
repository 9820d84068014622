//! Chores of this repository, run as `cargo xtask <chore>`.
//!
//! Nothing here is shipped. The chores use the standard library alone, so that the first one starts in a
//! second on a fresh clone.
#![forbid(unsafe_code)]

mod bundle;
mod kernels;
mod mutants;
mod parallel;
mod tidy;

use std::process::ExitCode;

/// One chore: what is typed, what it is for, and the function that does it.
struct Chore {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> ExitCode,
}

/// Every chore there is; `help` prints this list.
const CHORES: &[Chore] = &[
    Chore {
        name: "kernels",
        about: "compile the CUDA sources into kernels/built; with --check, hold what is committed to them",
        run: kernels::run,
    },
    Chore { name: "bundle", about: "make the folder that a GPU machine without Rust runs", run: bundle::run },
    Chore {
        name: "mutants",
        about: "plant bugs in the kernels, one at a time, and see which tests notice",
        run: mutants::run,
    },
    Chore { name: "tidy", about: "check the rules of the tree that no compiler checks", run: tidy::run },
    Chore { name: "help", about: "print this list", run: help },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else { return help(&[]) };
    let name = name.trim_start_matches("--");
    match CHORES.iter().find(|chore| chore.name == name) {
        Some(chore) => (chore.run)(rest),
        None => {
            eprintln!("xtask: no chore is called `{name}`; `cargo xtask help` lists them");
            ExitCode::from(2)
        }
    }
}

fn help(_: &[String]) -> ExitCode {
    println!("Chores of this repository.\n\nUsage: cargo xtask <chore>\n\nChores:");
    for chore in CHORES {
        println!("  {:<9}{}", chore.name, chore.about);
    }
    println!("\nRules of tidy (exceptions, each with its reason, are in crates/xtask/src/tidy/allow.rs):");
    for rule in tidy::RULES {
        println!("  {:<14}{}", rule.name, rule.about);
    }
    ExitCode::SUCCESS
}
