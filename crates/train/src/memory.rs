//! What a run needs of memory, bounded from below, and what the host or a GPU has: a model or a batch that cannot fit is
//! refused before any of it is allocated, and no machine swaps for it.

use warpsmith_model::GptConfig;
use warpsmith_tensor::{DType, Device, Error, Kind, arena};

use crate::config::{OptimizerKind, Precision};
use crate::{Result, TrainConfig};

/// Bytes of an f32.
const F32: f64 = DType::F32.size() as f64;

/// Bytes that learning by AdamW keeps of so many parameters: values, gradients, and two moments.
pub fn to_learn(parameters: usize) -> usize {
    4 * DType::F32.size() * parameters
}

/// Bytes of the host's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// In all.
    pub total: u64,
    /// That can be had without swapping.
    pub free: u64,
}

impl Host {
    /// What Linux says of this machine, or of the group of processes that memory is rationed to; `None` elsewhere.
    pub fn now() -> Option<Self> {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let machine = Self::of_meminfo(&read("/proc/meminfo")?)?;
        let group = |name: &str| read(&format!("/sys/fs/cgroup/memory.{name}"));
        let ration = group("max").zip(group("current")).zip(group("stat"));
        let ration = ration.and_then(|((max, current), stat)| Self::of_group(&max, &current, &stat));
        Some(match ration {
            None => machine,
            Some(group) => Self { total: machine.total.min(group.total), free: machine.free.min(group.free) },
        })
    }

    /// Of the text of `/proc/meminfo`.
    fn of_meminfo(text: &str) -> Option<Self> {
        let kib = |key: &str| line(text, key)?.strip_suffix("kB")?.trim().parse::<u64>().ok();
        Some(Self { total: kib("MemTotal:")? << 10, free: kib("MemAvailable:")? << 10 })
    }

    /// Of the files `memory.max`, `memory.current` and `memory.stat` of a control group; `None` if it has no limit. Pages of
    /// files that nobody has read lately are given back when memory is asked for.
    fn of_group(max: &str, current: &str, stat: &str) -> Option<Self> {
        let total = max.trim().parse::<u64>().ok()?;
        let given_back = line(stat, "inactive_file").and_then(|n| n.parse().ok()).unwrap_or(0u64);
        let used = current.trim().parse::<u64>().ok()?.saturating_sub(given_back);
        Some(Self { total, free: total.saturating_sub(used) })
    }
}

/// What follows `key` on its line.
fn line<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// Bytes that a device has left for tensors, with what waits to be used again; `None` if nobody says.
///
/// # Errors
/// If the device is lost.
pub fn free(device: &Device) -> warpsmith_tensor::Result<Option<u64>> {
    Ok(match device.free_memory()? {
        None => Host::now().map(|host| host.free + arena::usage().waiting),
        gpu => gpu,
    })
}

/// Moments that AdamW keeps of a number.
const ADAMW: f64 = 2.0;

/// Bytes that a run asks for at once, at the very least. As f64: a wish may pass any integer.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    op: &'static str,
    /// What to do if weights, moments and gradients are too much, and if the batch is.
    hints: [&'static str; 2],
    /// Weights that are not there yet, and the optimiser's moments.
    pub model: f64,
    /// Gradients of all weights.
    pub gradients: f64,
    /// What the forward pass of a batch leaves for the backward pass.
    pub batch: f64,
    /// Whether the gradients of earlier batches are there when the next one goes through the model. If not, they grow while
    /// what the batch left is freed.
    accumulates: bool,
}

impl Need {
    /// Of a run of these settings, on a CPU or a GPU, which with products in bf16 keeps what they read in 16 bits.
    pub fn of(config: &TrainConfig, shape: &GptConfig, on_gpu: bool) -> Self {
        let moments = match config.optimizer {
            OptimizerKind::AdamW => ADAMW,
            OptimizerKind::Sgd if config.momentum == 0.0 => 0.0,
            OptimizerKind::Sgd => 1.0,
        };
        let weights = F32 * shape.parameter_count();
        let tokens = config.batch_size as f64 * config.block_size as f64;
        let (c, v, layers) = (shape.n_embd as f64, shape.vocab_size as f64, shape.n_layer as f64);
        // Per token, in numbers of 4 bytes: ids and targets of each batch of a step, on the host and as tensors.
        let ids = 6.0 * config.gradient_accumulation_steps as f64;
        // What products alone read; a CPU rounds it while it packs.
        let read = if config.dtype == Precision::Bf16 && on_gpu { 0.5 } else { 1.0 };
        // The input of the last norm; that of the head, and the logits.
        let head = c + read * (c + v);
        // The inputs of both norms; those of the four products, with the hidden layer's: 3C + 4C; the slope of its activation:
        // 4C; q, k and v: 3C.
        let block = 2.0 * c + read * 14.0 * c;
        let blocks = match (config.eval_only, config.recompute) {
            (true, _) => 0.0,
            (false, true) => layers * c + block,
            (false, false) => layers * block,
        };
        Self {
            op: "train",
            hints: [
                "use a smaller n_embd, n_layer or block_size",
                "use a smaller batch_size or block_size, or --recompute",
            ],
            model: (1.0 + moments) * weights,
            gradients: if config.eval_only { 0.0 } else { weights },
            batch: F32 * tokens * (ids + head + blocks),
            accumulates: config.gradient_accumulation_steps > 1,
        }
    }

    /// Of fine-tuning a model of so many `weights` that is in memory already: `learned` numbers get moments, `fresh` ones are
    /// made beside the model, and a batch has so many `logits`.
    pub fn to_tune(weights: usize, learned: usize, fresh: usize, logits: usize) -> Self {
        let [weights, learned, fresh, logits] = [weights, learned, fresh, logits].map(|n| F32 * n as f64);
        Self {
            op: "finetune",
            hints: [
                "use a smaller model, or adapters: --lora 8",
                "use a smaller batch_size, or shorter examples",
            ],
            model: fresh + ADAMW * learned,
            gradients: weights,
            batch: logits,
            accumulates: false,
        }
    }

    /// All at once.
    pub fn bytes(&self) -> f64 {
        self.model
            + if self.accumulates { self.gradients + self.batch } else { self.gradients.max(self.batch) }
    }

    /// An error unless so many bytes are enough.
    ///
    /// # Errors
    /// What is needed, what there is, and which settings to lower.
    pub fn check(&self, free: u64) -> Result<()> {
        let free = free as f64;
        if self.bytes() <= free {
            return Ok(());
        }
        let message = format!(
            "this run needs {} of memory or more, and {} are free: weights and moments take {}, gradients {}, a batch {}",
            shown(self.bytes()),
            shown(free),
            shown(self.model),
            shown(self.gradients),
            shown(self.batch)
        );
        let hint = self.hints[usize::from(self.model + self.gradients <= free)];
        Err(Error::new(Kind::Memory, self.op, message).hint(hint).into())
    }
}

/// Bytes as a person reads them.
pub fn shown(bytes: f64) -> String {
    let units = ["MiB", "GiB", "TiB", "PiB"];
    let mut amount = bytes / 1_048_576.0;
    let mut unit = 0;
    while amount >= 10_240.0 && unit + 1 < units.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    format!("{amount:.0} {}", units[unit])
}

/// An error if a run cannot fit the memory of its device, as far as that is known.
///
/// # Errors
/// [`Need::check`]; if the device is lost.
pub(crate) fn check(need: &Need, device: &Device) -> Result<()> {
    free(device)?.map_or(Ok(()), |free| need.check(free))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_read_as_linux_tells_of_it() {
        let text = "MemTotal:       24500000 kB\nMemFree:         1000 kB\nMemAvailable:   20000000 kB\n";
        let host = Host::of_meminfo(text).expect("both lines are there");
        assert_eq!((host.total, host.free), (24_500_000 << 10, 20_000_000 << 10));
        assert_eq!(Host::of_meminfo("MemTotal: 1 kB\n"), None);
        assert_eq!(Host::now().is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn a_ration_counts_what_files_give_back() {
        let stat = "anon 5\nfile 70\ninactive_anon 9\ninactive_file 60\n";
        assert_eq!(Host::of_group("1000\n", "400\n", stat), Some(Host { total: 1000, free: 660 }));
        assert_eq!(Host::of_group("max\n", "400\n", stat), None);
        assert_eq!(Host::of_group("100\n", "400\n", "").map(|host| host.free), Some(0));
    }

    #[test]
    fn what_is_too_much_is_named() {
        let told = |config: TrainConfig| {
            let shape = crate::trainer::gpt_config(&config, 65);
            let checked = Need::of(&config, &shape, false).check(8 << 30);
            checked.map_or_else(|error| error.to_string(), |()| "fits".into())
        };
        assert_eq!(told(TrainConfig::default()), "fits");
        assert_eq!(
            told(TrainConfig { n_embd: 196_608, ..TrainConfig::default() }),
            "train: this run needs 41 TiB of memory or more, and 8192 MiB are free: weights and moments take 30 TiB, gradients \
             10 TiB, a batch 1176 GiB (use a smaller n_embd, n_layer or block_size)"
        );
        let many = told(TrainConfig { batch_size: 1_000_000, ..TrainConfig::default() });
        assert!(many.ends_with("(use a smaller batch_size or block_size, or --recompute)"), "{many}");
    }
}
