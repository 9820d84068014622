//! A 128-64-1 network with ReLU tells two classes apart; the table of its epochs is the one that Keras prints.
//!
//! `cargo run --release --example mlp_classifier [TABLE.csv [EPOCHS]]`: numbers, the last column 0 or 1, one line of names
//!
//! What printed versions of this program often get wrong:
//! - columns are scaled by the mean and deviation of *all* rows, so that the test rows have a say in training;
//! - rows are split in the order of the file, which is often the order of the classes;
//! - σ at the end and a loss that takes the logarithm of it: a row that is surely right or wrong is then ∞ or without gradient.
//!   Here the loss takes the logit;
//! - accuracy alone, of classes of which one has nine rows in ten. Hence the share of the larger class beside it.

use warpsmith::model::Weights;
use warpsmith::model::classical::{Mlp, binary_cross_entropy};
use warpsmith::prelude::*;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 32;

/// Rows of features with their class.
type Rows = Vec<(Vec<f32>, f32)>;

/// Two rings around each other, not quite apart: no line divides them.
fn rings() -> Rows {
    let drawn = Rng::new(Seed(4)).uniform(3 * 600);
    let row = |(i, u): (usize, &[f32])| {
        let (class, angle) = ((i % 2) as f32, u[0] * std::f32::consts::TAU);
        let radius = 1.0 + class + 0.7 * (u[1] + u[2] - 1.0);
        (vec![100.0 + 30.0 * radius * angle.cos(), radius * angle.sin()], class)
    };
    drawn.chunks(3).enumerate().map(row).collect()
}

fn table(path: &str) -> Outcome<Rows> {
    let (text, mut rows) = (std::fs::read_to_string(path)?, Rows::new());
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let fail = |what: String| format!("{path}:{}: {what}", number + 1);
        let cells = line
            .split(',')
            .map(|cell| cell.trim().parse::<f32>().map_err(|e| fail(format!("{cell:?}: {e}"))));
        let mut cells = cells.collect::<Result<Vec<_>, _>>()?;
        let class = cells.pop().filter(|class| *class == 0.0 || *class == 1.0);
        let class = class.ok_or_else(|| fail("the last column is 0 or 1".into()))?;
        match rows.first() {
            Some((first, _)) if first.len() != cells.len() => {
                Err(fail(format!("has not {} features", first.len())))?
            }
            _ => rows.push((cells, class)),
        }
    }
    Ok(rows)
}

/// Brings the columns of all rows to mean 0 and deviation 1 in those that are trained on.
fn scale(rows: &mut Rows, trained: usize) {
    for column in 0..rows[0].0.len() {
        let of = |f: &dyn Fn(f32) -> f32| {
            rows[..trained].iter().map(|row| f(row.0[column])).sum::<f32>() / trained as f32
        };
        let mean = of(&|v| v);
        let deviation = of(&|v| (v - mean).powi(2)).sqrt().max(1e-6);
        rows.iter_mut().for_each(|row| row.0[column] = (row.0[column] - mean) / deviation);
    }
}

fn batch(rows: &[(Vec<f32>, f32)], device: &Device) -> Outcome<[Tensor; 2]> {
    let x = rows.iter().flat_map(|row| row.0.clone()).collect();
    let x = Tensor::from_vec(x, &[rows.len(), rows[0].0.len()], device)?; // (B, K)
    Ok([x, Tensor::from_vec(rows.iter().map(|row| row.1).collect(), &[rows.len(), 1], device)?])
}

/// Loss and accuracy.
fn judge(model: &Mlp, rows: &[(Vec<f32>, f32)], device: &Device) -> Outcome<[f64; 2]> {
    let [x, class] = batch(rows, device)?;
    let logits = no_grad(|| model.forward(&x))?;
    let right = logits
        .to_vec::<f32>()?
        .iter()
        .zip(rows)
        .filter(|(logit, row)| (**logit > 0.0) == (row.1 == 1.0))
        .count();
    Ok([binary_cross_entropy(&logits, &class)?.item()?, right as f64 / rows.len() as f64])
}

fn main() -> Outcome<()> {
    let (device, arguments) = (Device::best()?, std::env::args().skip(1).collect::<Vec<_>>());
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
    scale(&mut rows, trained);
    let (train, test) = rows.split_at(trained);
    let ones = test.iter().filter(|row| row.1 == 1.0).count() as f64 / test.len() as f64;
    println!(
        "{} rows to learn from, {} to test; the larger class of those has {:.3}",
        trained,
        test.len(),
        ones.max(1.0 - ones)
    );
    let model = Mlp::new(&Weights::random(Seed(2), &device), &[rows[0].0.len(), 128, 64, 1])?;
    let settings = AdamWConfig { learning_rate: 3e-3, weight_decay: 0.0, ..Default::default() };
    let mut optimizer = AdamW::new(model.parameters(), settings)?;
    let rng = Rng::new(Seed(3));
    for epoch in 1..=epochs {
        // A new order each time, by the places of sorted random numbers.
        let keys = rng.uniform(trained);
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
        println!(
            "Epoch {epoch:>2}/{epochs} - loss: {loss:.4} - accuracy: {accuracy:.4} - val_loss: {val_loss:.4} - \
             val_accuracy: {val_accuracy:.4}"
        );
    }
    Ok(())
}
