//! The small problems: right answers, masked prompts, and two sides that never meet.

use std::collections::HashSet;
use warpsmith_text::{Error, IGNORE_INDEX, Side, Task};

const SIDES: [Side; 2] = [Side::Train, Side::Val];

#[test]
fn answers_are_right() {
    assert_eq!(Task::Sort.answer("3 1 2 9 0 1|").unwrap(), "0 1 1 2 3 9");
    assert_eq!(Task::Reverse.answer("abcd|").unwrap(), "dcba");
    assert_eq!(Task::Add.answer("12+34=").unwrap(), "46");
    assert_eq!(Task::Add.answer("99+99=").unwrap(), "198");
    assert!(Task::Add.is_right("12+34=", "46\n7+8=15").unwrap());
    assert!(Task::Add.is_right("12+34=", "46").unwrap());
    for wrong in ["", "\n46", "4", "460", " 46", "47\n"] {
        assert!(!Task::Add.is_right("12+34=", wrong).unwrap(), "{wrong:?}");
    }
}

#[test]
fn a_prompt_of_another_form_is_an_error_with_an_example() {
    let bad = [
        (Task::Sort, &["", "|", "3 1 2", "3  1|", "12 3|", "a b|", "1|2|"][..]),
        (Task::Reverse, &["", "|", "abc", "ab c|", "Abc|", "é|"]),
        (Task::Add, &["", "=", "+=", "1+=", "1+2", "1+2+3=", "-1+2=", "1+9999999999999999999=", "１+2="]),
    ];
    for (task, prompts) in bad {
        for prompt in prompts {
            let error = task.answer(prompt).unwrap_err();
            assert!(matches!(error, Error::Prompt { .. }), "{error}");
            assert!(error.to_string().contains("as in"), "{error}");
        }
    }
    assert_eq!(Task::Add.answer("999999999999999999+1=").unwrap(), "1000000000000000000");
}

#[test]
fn the_sides_share_no_problem_whatever_the_seeds() {
    for task in Task::ALL {
        let prompts =
            |side, seed| (0..3000).map(move |i| task.problem(side, seed, i).prompt).collect::<HashSet<_>>();
        let (train, val) = (prompts(Side::Train, 1), prompts(Side::Val, 2));
        assert!(train.is_disjoint(&val), "{task}");
        assert!(val.len() > 500, "{task} has only {} problems to validate on", val.len());
    }
}

#[test]
fn problems_depend_on_seed_and_index_alone_and_on_each_of_them() {
    for task in Task::ALL {
        for side in SIDES {
            let list = |seed| (0..50).map(|i| task.problem(side, seed, i)).collect::<Vec<_>>();
            assert_eq!(list(7), list(7));
            assert_ne!(list(7), list(8));
            assert!(list(7).iter().collect::<Vec<_>>().windows(2).any(|pair| pair[0] != pair[1]));
            for problem in list(7) {
                assert_eq!(task.answer(&problem.prompt).unwrap(), problem.answer);
            }
        }
    }
}

#[test]
fn only_the_answer_and_its_newline_are_scored() {
    for task in Task::ALL {
        let block_size = task.block_size() + 3;
        let mut batches = task.batches(Side::Train, 5, block_size, 3).unwrap();
        let batch = batches.next_batch().unwrap();
        assert_eq!(batch.shape(), (5, block_size));
        let tokenizer = batches.tokenizer().clone();
        for row in 0..5 {
            let problem = task.problem(Side::Train, 3, row as u64);
            let ids = &batch.ids[row * block_size..(row + 1) * block_size];
            let targets = &batch.targets[row * block_size..(row + 1) * block_size];
            let line = format!("{}{}\n", problem.prompt, problem.answer);
            assert!(tokenizer.decode(ids).unwrap().starts_with(&line));
            let scored: Vec<u32> = targets
                .iter()
                .filter(|&&target| target != IGNORE_INDEX)
                .map(|&target| target as u32)
                .collect();
            assert_eq!(tokenizer.decode(&scored).unwrap(), format!("{}\n", problem.answer));
            // The first scored target is that of the last character of the prompt.
            let first = targets.iter().position(|&target| target != IGNORE_INDEX).unwrap();
            assert_eq!(first, problem.prompt.len() - 1);
        }
    }
}

#[test]
fn the_longest_problem_just_fits() {
    let longest = |task: Task| {
        let lines = (0..2000).map(|i| task.problem(Side::Train, 0, i));
        lines.map(|problem| problem.prompt.len() + problem.answer.len()).max().unwrap()
    };
    for task in Task::ALL {
        assert_eq!(longest(task), task.block_size(), "{task}");
        assert!(task.batches(Side::Val, 1, task.block_size(), 0).is_ok());
        let error = task.batches(Side::Val, 1, task.block_size() - 1, 0).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        assert!(task.batches(Side::Val, 0, 64, 0).is_err());
    }
}

#[test]
fn a_step_is_reached_by_walking_or_by_seeking() {
    let fresh = || Task::Add.batches(Side::Train, 3, 9, 5).unwrap();
    let walked: Vec<_> = fresh().take(6).map(Result::unwrap).collect();
    let mut sought = fresh().seek(4);
    assert_eq!(sought.next_batch().unwrap(), walked[4]);
    assert_eq!(sought.step(), 5);
    assert_ne!(walked[4], walked[5]);
}

#[test]
fn names_parse_and_anything_else_lists_them() {
    for task in Task::ALL {
        assert_eq!(task.to_string().parse::<Task>().unwrap(), task);
    }
    let message = "sorting".parse::<Task>().unwrap_err().to_string();
    assert_eq!(message, "unknown task \"sorting\": choose sort, reverse or add");
}
