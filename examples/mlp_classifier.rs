//! A 128-64-1 network with ReLU tells two classes apart; the table of its epochs is the one that Keras prints. It is saved with the
//! scaler of its columns, and another process answers.
//!
//! `cargo run --release --example mlp_classifier [TABLE.csv [EPOCHS]]`: numbers, the last column 0 or 1, one line of names
//!
//! What printed versions of this program often get wrong:
//! - columns are scaled by the mean and deviation of *all* rows, the test rows too, and the scaler is not saved with the model;
//! - rows are split in the order of the file, which is often the order of the classes;
//! - σ at the end and a loss that takes the logarithm of it: a row that is surely right or wrong is then ∞ or without gradient.
//!   Here the loss takes the logit;
//! - accuracy alone, of classes of which one has nine rows in ten. Hence the share of the larger class beside it.

use std::path::Path;
use std::process::Command;

use warpsmith::data::scale::{Scaler, Scaling};
use warpsmith::model::Weights;
use warpsmith::model::classical::{Mlp, binary_cross_entropy};
use warpsmith::prelude::*;
use warpsmith::train::classical;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 32;
/// The word that asks this program to be the other process.
const ANSWER: &str = "--answer";

/// Rows of features with their class.
type Rows = Vec<(Vec<f64>, f32)>;

/// Two rings around each other, not quite apart: no line divides them.
fn rings() -> Rows {
    let drawn = Rng::new(Seed(4)).uniform(3 * 600);
    let row = |(i, u): (usize, &[f32])| {
        let (class, angle) = ((i % 2) as f32, u[0] * std::f32::consts::TAU);
        let radius = 1.0 + class + 0.7 * (u[1] + u[2] - 1.0);
        (vec![f64::from(100.0 + 30.0 * radius * angle.cos()), f64::from(radius * angle.sin())], class)
    };
    drawn.chunks(3).enumerate().map(row).collect()
}

fn table(path: &str) -> Outcome<Rows> {
    let (text, mut rows) = (std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?, Rows::new());
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let fail = |what: String| format!("{path}:{}: {what}", number + 1);
        let cells = line
            .split(',')
            .map(|cell| cell.trim().parse::<f64>().map_err(|e| fail(format!("{cell:?}: {e}"))));
        let mut cells = cells.collect::<Result<Vec<_>, _>>()?;
        let class = cells.pop().filter(|class| *class == 0.0 || *class == 1.0);
        let class = class.ok_or_else(|| fail("the last column is 0 or 1".into()))? as f32;
        match rows.first() {
            Some((first, _)) if first.len() != cells.len() => {
                Err(fail(format!("has not {} features", first.len())))?
            }
            _ => rows.push((cells, class)),
        }
    }
    Ok(rows)
}

fn batch(rows: &[(Vec<f64>, f32)], device: &Device) -> Outcome<[Tensor; 2]> {
    let x = rows.iter().flat_map(|row| row.0.iter().map(|&x| x as f32)).collect();
    let x = Tensor::from_vec(x, &[rows.len(), rows[0].0.len()], device)?; // (B, K)
    Ok([x, Tensor::from_vec(rows.iter().map(|row| row.1).collect(), &[rows.len(), 1], device)?])
}

/// Loss and accuracy.
fn judge(model: &Mlp, rows: &[(Vec<f64>, f32)], device: &Device) -> Outcome<[f64; 2]> {
    let [x, class] = batch(rows, device)?;
    let logits = no_grad(|| model.forward(&x))?;
    let said = logits.to_vec::<f32>()?;
    let right = said.iter().zip(rows).filter(|(logit, row)| (**logit > 0.0) == (row.1 == 1.0)).count();
    Ok([binary_cross_entropy(&logits, &class)?.item()?, right as f64 / rows.len() as f64])
}

/// The logit of a row as it stands in a table, by a saved model that was built anew.
fn answer(dir: &Path, mut row: Vec<f64>) -> Outcome<f32> {
    let (sizes, scaler): (Vec<usize>, Scaler) = classical::read(dir)?;
    let device = Device::best()?;
    let model = Mlp::new(&Weights::random(Seed(0), &device), &sizes)?;
    classical::load(dir, &model.parameters())?;
    scaler.apply(&mut row)?;
    let [x, _] = batch(&[(row, 0.0)], &device)?;
    Ok(no_grad(|| model.forward(&x))?.item()? as f32)
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, dir, row @ ..] = &arguments[..]
        && first == ANSWER
    {
        let row = row.iter().map(|cell| cell.parse()).collect::<Result<Vec<f64>, _>>()?;
        println!("{:?}", answer(Path::new(dir), row)?);
        return Ok(());
    }
    let device = Device::best()?;
    let mut rows = arguments.first().map_or_else(|| Ok(rings()), |path| table(path))?;
    let epochs: usize = arguments.get(1).map_or(Ok(12), |epochs| epochs.parse())?;
    let trained = rows.len() * 4 / 5;
    if trained < BATCH || rows.len() == trained {
        return Err(format!("{} rows are too few", rows.len()).into());
    }
    let order = Rng::new(Seed(1)).uniform(rows.len());
    let mut keyed: Vec<_> = rows.drain(..).zip(order).collect();
    keyed.sort_by(|a, b| a.1.total_cmp(&b.1));
    rows.extend(keyed.into_iter().map(|(row, _)| row));
    let asked = rows[trained].0.clone();
    let features: Vec<&[f64]> = rows[..trained].iter().map(|row| row.0.as_slice()).collect();
    let scaler = Scaler::fit(&features, Scaling::Standard)?;
    rows.iter_mut().try_for_each(|row| scaler.apply(&mut row.0))?;
    let (train, test) = rows.split_at(trained);
    let ones = test.iter().filter(|row| row.1 == 1.0).count() as f64 / test.len() as f64;
    println!(
        "{trained} rows to learn from, {} to test, {:.3} of one class",
        test.len(),
        ones.max(1.0 - ones)
    );
    let sizes = [asked.len(), 128, 64, 1];
    let model = Mlp::new(&Weights::random(Seed(2), &device), &sizes)?;
    let settings = AdamWConfig { learning_rate: 3e-3, weight_decay: 0.0, ..Default::default() };
    let (mut optimizer, rng) = (AdamW::new(model.parameters(), settings)?, Rng::new(Seed(3)));
    for epoch in 1..=epochs {
        let keys = rng.uniform(trained);
        // A new order each time, by the places of sorted random numbers.
        let mut order: Vec<usize> = (0..trained).collect();
        order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
        for places in order.chunks(BATCH) {
            let some: Rows = places.iter().map(|&at| train[at].clone()).collect();
            let [x, class] = batch(&some, &device)?;
            let loss = binary_cross_entropy(&model.forward(&x)?, &class)?;
            optimizer.step(loss.backward()?)?;
        }
        let ([loss, accuracy], [val_loss, val_accuracy]) =
            (judge(&model, train, &device)?, judge(&model, test, &device)?);
        print!("Epoch {epoch:>2}/{epochs} - loss: {loss:.4} - accuracy: {accuracy:.4}");
        println!(" - val_loss: {val_loss:.4} - val_accuracy: {val_accuracy:.4}");
    }
    let [x, _] = batch(&test[..1], &device)?;
    let here = no_grad(|| model.forward(&x))?.item()? as f32;
    let dir = std::env::temp_dir().join(format!("mlp_classifier-{}", std::process::id()));
    classical::write(&dir, &(sizes, &scaler), &model.parameters())?;
    let words = asked.iter().map(f64::to_string);
    let there = Command::new(std::env::current_exe()?).arg(ANSWER).arg(&dir).args(words).output()?;
    std::fs::remove_dir_all(&dir)?;
    let there = String::from_utf8(there.stdout)?;
    let is_same = there.trim() == format!("{here:?}");
    println!("another process: logit {} for {asked:?}; the same to the last digit: {is_same}", there.trim());
    if is_same { Ok(()) } else { Err(format!("here it is {here:?}").into()) }
}
