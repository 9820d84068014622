use super::*;
use warpsmith_text::Task;

/// A trainer of a tiny model that sorts.
fn trainer(change: impl FnOnce(&mut TrainConfig)) -> Trainer {
    let mut config = TrainConfig {
        n_layer: 1,
        n_head: 2,
        n_embd: 8,
        block_size: 24,
        batch_size: 2,
        dropout: 0.0,
        decay_lr: false,
        learning_rate: 0.1,
        weight_decay: 0.0,
        momentum: 0.0,
        grad_clip: 0.0,
        ..TrainConfig::default()
    };
    change(&mut config);
    Trainer::new(config, TrainData::task(Task::Sort).unwrap(), &Device::Cpu).unwrap()
}

/// All weights, one after the other, before and after a step.
fn a_step(change: impl FnOnce(&mut TrainConfig)) -> [Vec<f64>; 2] {
    let mut trainer = trainer(change);
    let weights = |trainer: &Trainer| -> Vec<f64> {
        trainer.model().parameters().iter().flat_map(|p| p.get().to_f64_vec().unwrap()).collect()
    };
    let before = weights(&trainer);
    trainer.step().unwrap();
    [before, weights(&trainer)]
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// As many batches as the step before had were learned from, in their shapes, and its own again where there were fewer.
#[test]
fn a_step_takes_its_batches_whatever_those_of_the_one_before() -> Result<()> {
    let loss = |steps: &[&[Batch]]| -> Result<Option<f64>> {
        let mut trainer = trainer(|c| c.learning_rate = 0.0);
        let reports = steps.iter().map(|batches| trainer.queue_on(batches)).collect::<Result<Vec<_>>>()?;
        Ok(trainer.wait(reports[reports.len() - 1])?.loss)
    };
    let mut source = trainer(|_| {}).batches;
    let all = (0..3).map(|i| source.at(i)).collect::<Result<Vec<_>>>()?; // (2, 24)
    let narrow = [Batch { batch_size: 4, block_size: 12, ..all[1].clone() }];
    for (before, now) in [(&all[..1], &all[1..]), (&all[..2], &all[2..]), (&all[..1], &narrow[..])] {
        assert_eq!(loss(&[before, now])?, loss(&[now])?);
    }
    Ok(())
}

#[test]
fn smoothed_targets_are_learned_and_the_validation_loss_is_not_smoothed() -> Result<()> {
    let (mut smooth, plain) = (trainer(|c| c.label_smoothing = 0.3), trainer(|_| {}));
    assert_eq!(smooth.evaluate()?, plain.evaluate()?);
    assert_eq!(plain.evaluate_unless(&AtomicBool::new(true))?, None);
    let batch = smooth.batches.at(0)?;
    let tensors = TensorBatch::new(&batch, &Device::Cpu)?;
    let log_probs = no_grad(|| smooth.model().forward(&tensors.ids)?.log_softmax())?.to_f64_vec()?;
    let classes = log_probs.len() / batch.targets.len();
    let (mut expected, mut scored) = (0.0, 0.0);
    for (row, &target) in log_probs.chunks(classes).zip(&batch.targets) {
        if let Ok(target) = usize::try_from(target) {
            expected -= 0.7 * row[target] + 0.3 * row.iter().sum::<f64>() / classes as f64;
            scored += 1.0;
        }
    }
    let loss = smooth.step()?.loss.unwrap_or(f64::NAN);
    assert!((loss - expected / scored).abs() < 1e-5, "{loss} for {}", expected / scored);
    let unsmoothed = trainer(|_| {}).step()?.loss.unwrap_or(f64::NAN);
    assert!((loss - unsmoothed).abs() > 1e-4, "the targets are not smoothed");
    Ok(())
}

#[test]
fn for_sgd_l2_is_weight_decay_and_for_adamw_it_is_not() {
    let step = |optimizer: OptimizerKind, l2: f64, weight_decay: f64| {
        let [_, after] = a_step(|c| (c.optimizer, c.l2, c.weight_decay) = (optimizer, l2, weight_decay));
        after
    };
    let of = |optimizer| [step(optimizer, 0.0, 0.0), step(optimizer, 0.5, 0.0), step(optimizer, 0.0, 0.5)];
    let [plain, l2, decay] = of(OptimizerKind::Sgd);
    assert!(largest_difference(&plain, &l2) > 1e-3);
    assert!(largest_difference(&l2, &decay) < 1e-7, "{}", largest_difference(&l2, &decay));
    let [plain, l2, decay] = of(OptimizerKind::AdamW);
    assert!(largest_difference(&plain, &l2) > 1e-3 && largest_difference(&plain, &decay) > 1e-3);
    assert!(largest_difference(&l2, &decay) > 1e-3);
}

#[test]
fn l1_moves_weights_towards_zero_by_the_same_amount() {
    let [before, plain] = a_step(|c| c.optimizer = OptimizerKind::Sgd);
    let [_, l1] = a_step(|c| (c.optimizer, c.l1) = (OptimizerKind::Sgd, 0.01));
    // Learning rate 0.1 times 0.01, against the sign; vectors and zeros stay.
    let moved =
        before.iter().zip(plain.iter().zip(&l1)).map(|(before, (plain, l1))| (l1 - plain) * before.signum());
    let (matrices, vectors): (Vec<f64>, Vec<f64>) = moved.partition(|moved| *moved < -0.5e-3);
    assert!(matrices.iter().all(|moved| (moved + 1e-3).abs() < 1e-6) && matrices.len() > 100);
    assert!(vectors.iter().all(|moved| moved.abs() < 1e-7), "{vectors:?}");
}
