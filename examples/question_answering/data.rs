//! Questions about texts: files in SQuAD's format, or made-up ones.

use serde_json::Value;
use warpsmith::prelude::*;

use crate::Outcome;

/// A question, the text that answers it, and the answers that count as right with the byte that each begins at.
#[derive(Clone)]
pub struct Question {
    pub question: String,
    pub context: String,
    pub answers: Vec<(String, usize)>,
}

fn list<'a>(value: &'a Value, name: &str, path: &str) -> Outcome<&'a Vec<Value>> {
    let list = value[name].as_array();
    list.ok_or_else(|| format!("{path}: not SQuAD's format: no list `{name}` where one should be").into())
}

fn text(value: &Value, name: &str, path: &str) -> Outcome<String> {
    let text = value[name].as_str().map(str::to_owned);
    text.ok_or_else(|| format!("{path}: not SQuAD's format: no text `{name}` where one should be").into())
}

/// The byte at which an answer begins: the format counts characters, and some files count them wrong.
fn place(context: &str, answer: &str, character: u64) -> Option<usize> {
    let at = context.char_indices().nth(character as usize).map_or(context.len(), |(at, _)| at);
    if context[at..].starts_with(answer) { Some(at) } else { context.find(answer) }
}

/// All questions of a file; an answer that is not in its text has no place, and is left out.
pub fn read(path: &str) -> Outcome<Vec<Question>> {
    let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let file: Value = serde_json::from_slice(&bytes).map_err(|e| format!("{path}: {e}"))?;
    let mut found = Vec::new();
    for article in list(&file, "data", path)? {
        for paragraph in list(article, "paragraphs", path)? {
            let context = text(paragraph, "context", path)?;
            for asked in list(paragraph, "qas", path)? {
                let mut answers = Vec::new();
                for answer in list(asked, "answers", path)? {
                    let (words, start) =
                        (text(answer, "text", path)?, answer["answer_start"].as_u64().unwrap_or(0));
                    answers.extend(place(&context, &words, start).map(|at| (words, at)));
                }
                if !answers.is_empty() {
                    found.push(Question {
                        question: text(asked, "question", path)?,
                        context: context.clone(),
                        answers,
                    });
                }
            }
        }
    }
    if found.is_empty() {
        Err(format!("{path}: no question with an answer in its text").into())
    } else {
        Ok(found)
    }
}

const NAMES: [&str; 12] =
    ["Anna", "Boris", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karla", "Leo"];
const TOWNS: [&str; 12] = [
    "Rome",
    "New York",
    "Oslo",
    "Buenos Aires",
    "Cairo",
    "Lima",
    "Kyoto",
    "Hong Kong",
    "Delhi",
    "Paris",
    "San Jose",
    "Accra",
];
const WORK: [&str; 6] = ["baker", "pilot", "nurse", "train driver", "teacher", "piano tuner"];

/// So many questions about four people, of whom each lives somewhere or does something.
pub fn made_up(count: usize) -> Vec<Question> {
    let rng = Rng::new(Seed(5));
    let question = |_| {
        let (u, of) = (rng.uniform(10), |u: f32, n: usize| (u * n as f32) as usize);
        let (first, asked) = (of(u[0], NAMES.len()), of(u[1], 4));
        let (mut context, mut found) = (String::new(), None);
        for (person, u) in u[2..].chunks(2).enumerate() {
            // Four in a row of the list: no name twice.
            let (name, is_town) = (NAMES[(first + person) % NAMES.len()], u[0] < 0.5);
            let answer = if is_town { TOWNS[of(u[1], TOWNS.len())] } else { WORK[of(u[1], WORK.len())] };
            context += &if is_town { format!("{name} lives in ") } else { format!("{name} is a ") };
            if person == asked {
                let question = if is_town {
                    format!("Where does {name} live?")
                } else {
                    format!("What does {name} do?")
                };
                found = Some((question, vec![(answer.to_owned(), context.len())]));
            }
            context += &format!("{answer}. ");
        }
        found.map(|(question, answers)| Question { question, context, answers })
    };
    (0..count).filter_map(question).collect()
}
