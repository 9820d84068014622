//! Vectors of words in three ways (skip-gram, CBOW, GloVe): neighbours, and analogies with how many could be asked at all.
//!
//! `cargo run --release --example word_vectors [TEXT_FILE [STEPS]]`
//!
//! What printed versions of this program often get wrong:
//! - negatives are drawn uniformly; the paper draws by count to the power ¾;
//! - in an analogy a : b = c : ?, the answer is found among words that include a, b and c: then c itself is usually nearest;
//! - one hit is shown. Here: accuracy over all questions whose four words are known, and how many those are (coverage);
//! - ids are one-hot vectors times a matrix. A row of a table is the same and costs V times less.

use std::collections::BTreeMap;

use warpsmith::model::Weights;
use warpsmith::model::classical::{Glove, NegativeSampler, Word2Vec, cooccurrences};
use warpsmith::prelude::*;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const WIDTH: usize = 24;
const WINDOW: usize = 3;
const BATCH: usize = 256;
/// Pairs of one relation: any two of them make two questions.
const PAIRS: [&str; 6] = ["king queen", "man woman", "boy girl", "actor actress", "uncle aunt", "monk nun"];

/// A small language in which people differ by what they do and by how they are spoken of.
fn invented() -> String {
    let places = ["throne crown", "street work", "school toys", "stage play", "family visit"];
    let own = ["he his", "she her"];
    let pick = |words: &'static str, u: f32| words.split(' ').nth((u * 2.0) as usize).unwrap_or_default();
    let sentence = |u: &[f32]| {
        let (role, gender) = ((u[0] * 5.0) as usize, (u[1] * 2.0) as usize);
        format!("{} {} {} . ", pick(PAIRS[role], u[1]), pick(own[gender], u[2]), pick(places[role], u[3]))
    };
    Rng::new(Seed(7)).uniform(4 * 3000).chunks(4).map(sentence).collect()
}

/// Words that stand twice or more, the frequent first; their counts; and the text as ids.
fn read(text: &str) -> (Vec<String>, Vec<u64>, Vec<u32>) {
    let lower = text.to_lowercase();
    let words = || lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    words().for_each(|word| *counts.entry(word).or_default() += 1);
    let mut known: Vec<(&str, u64)> = counts.into_iter().filter(|(_, count)| *count > 1).collect();
    known.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let ids: BTreeMap<&str, u32> = known.iter().zip(0..).map(|((word, _), id)| (*word, id)).collect();
    let text = words().filter_map(|word| ids.get(word).copied()).collect();
    let (words, counts) = known.into_iter().map(|(word, count)| (word.to_owned(), count)).unzip();
    (words, counts, text)
}

fn learn(steps: u64, parameters: Vec<Parameter>, mut loss: impl FnMut() -> Outcome<Tensor>) -> Outcome<f64> {
    let settings = AdamWConfig { learning_rate: 1e-2, weight_decay: 0.0, ..Default::default() };
    let (mut optimizer, mut last) = (AdamW::new(parameters, settings)?, f64::NAN);
    for _ in 0..steps {
        let loss = loss()?;
        last = loss.item()?;
        optimizer.step(loss.backward()?)?;
    }
    Ok(last)
}

/// The words nearest to a vector by the angle, without some.
fn nearest(table: &[Vec<f32>], vector: &[f32], without: &[usize]) -> Vec<usize> {
    let cosine = |id: usize| table[id].iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
    let mut order: Vec<usize> = (0..table.len()).filter(|id| !without.contains(id)).collect();
    order.sort_by(|&a, &b| cosine(b).total_cmp(&cosine(a)));
    order
}

fn report(name: &str, loss: f64, vectors: &Tensor, words: &[String]) -> Outcome<()> {
    let unit = |row: &[f32]| {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
        row.iter().map(|v| v / length).collect::<Vec<f32>>()
    };
    let table: Vec<Vec<f32>> = vectors.to_vec::<f32>()?.chunks(WIDTH).map(unit).collect();
    let find = |word: &str| words.iter().position(|known| known == word);
    let (mut asked, mut known, mut right) = (0, 0, 0);
    let pairs: Vec<Vec<&str>> = PAIRS.iter().map(|pair| pair.split(' ').collect()).collect();
    for a in &pairs {
        for c in pairs.iter().filter(|c| *c != a) {
            asked += 1;
            let [Some(a0), Some(a1), Some(c0), Some(c1)] = [a[0], a[1], c[0], c[1]].map(find) else {
                continue;
            };
            known += 1;
            let sum: Vec<f32> = (0..WIDTH).map(|k| table[a1][k] - table[a0][k] + table[c0][k]).collect();
            right += usize::from(nearest(&table, &sum, &[a0, a1, c0]).first() == Some(&c1));
        }
    }
    let word = find("king").unwrap_or(0);
    let near: Vec<&str> =
        nearest(&table, &table[word], &[word]).iter().take(4).map(|&id| words[id].as_str()).collect();
    println!(
        "{name:<10} {loss:>6.3}  {right:>2} of {known} right, {known} of {asked} known  {}: {}",
        words[word],
        near.join(" ")
    );
    Ok(())
}

fn main() -> Outcome<()> {
    let (device, arguments) = (Device::best()?, std::env::args().skip(1).collect::<Vec<_>>());
    let open = |path: &String| std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
    let text = arguments.first().map_or_else(|| Ok(invented()), open)?;
    let steps = arguments.get(1).map_or(Ok(300), |steps| steps.parse())?;
    let (words, counts, ids) = read(&text);
    let (size, sampler) = ((words.len(), WIDTH), NegativeSampler::new(&counts)?);
    let (rng, random) = (Rng::new(Seed(3)), |seed| Weights::random(Seed(seed), &device));
    let row = |ids: &[u32]| Tensor::from_slice(ids, &[ids.len()], &device);
    // Places of the text that have a whole window around them.
    let room = ids.len().checked_sub(2 * WINDOW + 1).ok_or("the text has too few words that stand twice")?;
    let places = || rng.uniform(BATCH).into_iter().map(|u| WINDOW + (u * room as f32) as usize);
    let drawn = || Tensor::from_slice(&sampler.draw(BATCH * 5, &rng), &[BATCH, 5], &device);
    println!("{} words known, {} in the text\n             loss  analogies; nearest", words.len(), ids.len());

    let model = Word2Vec::new(&random(1), size)?;
    let loss = learn(steps, model.parameters(), || {
        let reach = rng.uniform(BATCH).into_iter().map(|u| (u * 2.0 * WINDOW as f32) as usize);
        // Of 2·WINDOW neighbours, none is the place itself.
        let pairs: Vec<[u32; 2]> = places()
            .zip(reach)
            .map(|(at, k)| [ids[at], ids[at + k - WINDOW + usize::from(k >= WINDOW)]])
            .collect();
        let [centres, around] = [0, 1].map(|i| row(&pairs.iter().map(|pair| pair[i]).collect::<Vec<_>>()));
        Ok(model.skip_gram(&centres?, &around?, &drawn()?)?)
    })?;
    report("skip-gram", loss, &model.vectors(words.len())?, &words)?;

    let model = Word2Vec::new(&random(2), size)?;
    let loss = learn(steps, model.parameters(), || {
        let places: Vec<usize> = places().collect();
        let around = |&at: &usize| [&ids[at - WINDOW..at], &ids[at + 1..=at + WINDOW]].concat();
        let around =
            Tensor::from_vec(places.iter().flat_map(around).collect(), &[BATCH, 2 * WINDOW], &device)?;
        let centres = row(&places.iter().map(|&at| ids[at]).collect::<Vec<_>>())?;
        Ok(model.cbow(&around, &centres, &drawn()?)?)
    })?;
    report("CBOW", loss, &model.vectors(words.len())?, &words)?;

    let (model, met) = (Glove::new(&random(3), size)?, Vec::from_iter(cooccurrences(&ids, WINDOW)));
    let loss = learn(steps, model.parameters(), || {
        let drawn = rng.uniform(BATCH).into_iter();
        let some: Vec<_> = drawn.map(|u| met[(u * (met.len() - 1) as f32) as usize]).collect();
        let [a, b] = [some.iter().map(|e| e.0.0).collect::<Vec<_>>(), some.iter().map(|e| e.0.1).collect()];
        let times = Tensor::from_vec(some.iter().map(|e| e.1).collect(), &[BATCH], &device)?;
        Ok(model.loss(&row(&a)?, &row(&b)?, &times)?)
    })?;
    report("GloVe", loss, &model.vectors()?, &words)
}
