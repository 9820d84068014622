//! This engine's training step: the trainer's, which a GPU records once and launches from then on.

use warpsmith_tensor::{DType, Device, Shape, Tensor};
use warpsmith_text::{Batch, Corpus, Tokenizer};
use warpsmith_train::{StepReport, TrainConfig, TrainData, Trainer};

use crate::contender::{Call, Contender};
use crate::tasks::{Case, Step};
use crate::{Error, Result};

/// The trainer as a contender.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepEngine;

/// Steps that are made to see that a recorded one has the bits of an eager one: the first is eager in any case.
const WATCHED: usize = 3;

impl Contender for StepEngine {
    fn name(&self) -> String {
        "warpsmith".into()
    }

    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>> {
        if case.dtype == DType::F16 {
            return Err(Error::Unsupported(
                "a training step computes in f32 or, its products, in bf16".into(),
            ));
        }
        // A large case would need the memory of two models; it has been seen on small ones.
        if !inputs[0].device().is_cpu() && !case.work.wants_proof_on_small() {
            let after = |compile| -> Result<Vec<Vec<f32>>> {
                let mut call = StepCall::new(case, inputs, compile)?;
                for _ in 0..WATCHED {
                    call.run()?;
                }
                Ok(call.outputs()?.iter().map(Tensor::to_vec).collect::<warpsmith_tensor::Result<_>>()?)
            };
            if after(true)? != after(false)? {
                return Err(Error::Failed("the recorded step has other bits than the eager one".into()));
            }
        }
        Ok(Box::new(StepCall::new(case, inputs, true)?))
    }
}

/// A model before its first step, or behind it.
struct State {
    trainer: Trainer,
    batch: [Batch; 1],
    report: Option<StepReport>,
}

impl State {
    fn new(step: &Step, config: &TrainConfig, dtype: DType, inputs: &[Tensor]) -> Result<Self> {
        let model = step.gpt.model(dtype, &inputs[2..])?;
        // The trainer wants a text to take batches from; none is taken, since each step is given its own.
        let text = "ab".repeat(20 * (config.block_size + 1));
        let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
        let data = Corpus::from_text(text).tokenize(&Tokenizer::chars()).map_err(|e| failed(&e))?;
        let trainer =
            Trainer::with_model(config.clone(), TrainData::Text(data), model).map_err(|e| failed(&e))?;
        let (ids, targets): (Vec<i64>, Vec<i64>) = (inputs[0].to_vec()?, inputs[1].to_vec()?);
        let ids = ids.into_iter().map(|id| id as u32).collect();
        let batch = Batch { ids, targets, batch_size: step.batch, block_size: step.gpt.context };
        Ok(Self { trainer, batch: [batch], report: None })
    }
}

struct StepCall {
    state: State,
    config: TrainConfig,
    dtype: DType,
    sizes: Step,
}

impl StepCall {
    fn new(case: &Case, inputs: &[Tensor], compile: bool) -> Result<Self> {
        let sizes = Step::read(&case.work.to_string())?;
        let config = TrainConfig { compile, ..sizes.train_config(case.dtype) };
        let state = State::new(&sizes, &config, case.dtype, inputs)?;
        Ok(Self { state, config, dtype: case.dtype, sizes })
    }
}

impl Call for StepCall {
    /// Moments start from zero, so all is made anew.
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        self.state = State::new(&self.sizes, &self.config, self.dtype, inputs)?;
        Ok(())
    }

    /// What a step writes is what it reads; only the loss could be an old one.
    fn poison(&mut self) -> Result<()> {
        self.state.report = None;
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        let State { trainer, batch, report } = &mut self.state;
        *report = Some(trainer.queue_on(batch).map_err(|error| Error::Failed(error.to_string()))?);
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        let State { trainer, report, .. } = &mut self.state;
        let failed = |error: warpsmith_train::Error| Error::Failed(error.to_string());
        if let Some(queued) = *report {
            *report = Some(trainer.wait(queued).map_err(failed)?);
        }
        let loss = report.and_then(|report| report.loss).unwrap_or(f64::NAN);
        let moments = trainer.optimizer().state();
        let mut outputs = vec![Tensor::full(Shape::scalar(), loss, DType::F32, &Device::Cpu)?];
        let parameters = trainer.model().parameters();
        for parameter in &parameters {
            let name = format!("{}.exp_avg", parameter.name());
            let moment = moments.get(&name).ok_or_else(|| Error::Failed(format!("there is no {name}")))?;
            outputs.push(moment.to_device(&Device::Cpu)?.copy()?);
        }
        for parameter in &parameters {
            outputs.push(parameter.get().detach().to_device(&Device::Cpu)?.copy()?);
        }
        Ok(outputs)
    }

    /// It records itself.
    fn may_be_recorded(&self) -> bool {
        false
    }
}
