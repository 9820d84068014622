//! Taking the time of one call, on the device where it runs.
//!
//! CPU: [`Instant`] around a batch of calls; cold means that a buffer larger than the last cache is written before each call,
//! outside the watch. CUDA: events around the replay of a recorded graph, so that the host's launching is not timed; cold means
//! that a copy of more than any L2 runs before each replay, between the watches. A call that cannot be recorded is
//! launched, and its rows say so.

use std::time::Instant;

use warpsmith_tensor::{Device, Tensor};

use crate::Result;
use crate::contender::Call;

/// What lies in the caches when a call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Nothing of the call's: each call is timed by itself.
    Cold,
    /// What the call before left: calls are timed in batches.
    Warm,
}

impl Cache {
    /// `cold` or `warm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
        }
    }

    /// What is usual on a device: cold on a GPU, where a working set stays in no cache, warm on a CPU.
    pub fn usual(device: &Device) -> Self {
        if device.is_cpu() { Self::Warm } else { Self::Cold }
    }
}

/// Takes times on one device.
pub struct Clock {
    device: Device,
    cache: Cache,
    flush: Flush,
}

impl Clock {
    /// A clock of a device.
    ///
    /// # Errors
    /// If there is no memory for what empties the caches.
    pub fn new(device: &Device, cache: Cache) -> Result<Self> {
        let flush = if cache == Cache::Warm { Flush::Nothing } else { Flush::new(device, DEVICE_FLUSH)? };
        Ok(Self { device: device.clone(), cache, flush })
    }

    /// The cache mode.
    pub fn cache(&self) -> Cache {
        self.cache
    }

    /// Gets a call that has run once ready to be timed: on CUDA, records it.
    ///
    /// # Errors
    /// If it fails while it is recorded for a reason of its own.
    pub fn start(&self, call: &mut dyn Call) -> Result<Timed> {
        match &self.device {
            Device::Cpu => Ok(Timed::Direct),
            #[cfg(feature = "cuda")]
            Device::Cuda(_) if !call.may_be_recorded() => Ok(Timed::Direct),
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => {
                // The error of a call that cannot be recorded is not told: launched as it is, it works.
                let recorded = cuda.stream().capture(|| call.run().map_err(into_engine));
                Ok(recorded.map_or(Timed::Direct, |(graph, ())| Timed::Graph(graph)))
            }
            other => Err(crate::Error::Unsupported(format!("{other} has no clock"))),
        }
    }

    /// Seconds per call over `calls` calls.
    ///
    /// # Errors
    /// If a call fails.
    pub fn sample(&mut self, call: &mut dyn Call, timed: &Timed, calls: usize) -> Result<f64> {
        if let Some(own) = call.time(calls, self.cache == Cache::Cold) {
            return own;
        }
        if self.cache == Cache::Warm {
            return Ok(self.batch(call, timed, calls)? / calls as f64);
        }
        let mut total = 0.0;
        for _ in 0..calls {
            self.flush.run()?;
            total += self.batch(call, timed, 1)?;
        }
        Ok(total / calls as f64)
    }

    /// Seconds of `calls` calls, one behind the other.
    fn batch(&self, call: &mut dyn Call, timed: &Timed, calls: usize) -> Result<f64> {
        match &self.device {
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => {
                let start = cuda.stream().record_event()?;
                for _ in 0..calls {
                    timed.run(call)?;
                }
                Ok(cuda.stream().record_event()?.milliseconds_since(&start)? / 1e3)
            }
            _ => {
                let start = Instant::now();
                for _ in 0..calls {
                    timed.run(call)?;
                }
                Ok(start.elapsed().as_secs_f64())
            }
        }
    }
}

/// How a call is set off.
pub enum Timed {
    /// By calling it.
    Direct,
    /// By replaying what it launched.
    #[cfg(feature = "cuda")]
    Graph(warpsmith_tensor::cuda::Graph),
}

impl Timed {
    /// Sets the call off once.
    ///
    /// # Errors
    /// If it fails.
    pub fn run(&self, call: &mut dyn Call) -> Result<()> {
        match self {
            Self::Direct => call.run(),
            #[cfg(feature = "cuda")]
            Self::Graph(graph) => Ok(graph.launch()?),
        }
    }

    /// `calls`, or `graph replays`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Direct => "calls",
            #[cfg(feature = "cuda")]
            Self::Graph(_) => "graph replays",
        }
    }
}

#[cfg(feature = "cuda")]
fn into_engine(error: crate::Error) -> warpsmith_tensor::Error {
    match error {
        crate::Error::Engine(error) => error,
        other => warpsmith_tensor::Error::new(warpsmith_tensor::Kind::Device, "bench", other.to_string()),
    }
}

/// More than the L2 of any GPU there is (126 MB), twice.
const DEVICE_FLUSH: usize = 256 << 20;
/// If the size of the CPU's last cache is not told.
const HOST_FLUSH: usize = 128 << 20;

/// What empties the caches.
enum Flush {
    Nothing,
    Host(Vec<u64>),
    /// To where and from where is copied.
    Device(Box<[Tensor; 2]>),
}

impl Flush {
    /// What empties the caches of a device; `bytes` are moved on a GPU, and a CPU tells how many it needs.
    fn new(device: &Device, bytes: usize) -> Result<Self> {
        if device.is_cpu() {
            let bytes = last_cache().map_or(HOST_FLUSH, |cache| 2 * cache);
            return Ok(Self::Host(vec![1; bytes / 8]));
        }
        let half = |value| {
            let shape = warpsmith_tensor::Shape::new(&[bytes / 2 / 4])?;
            Tensor::full(shape, value, warpsmith_tensor::DType::F32, device)
        };
        Ok(Self::Device(Box::new([half(0.0)?, half(1.0)?])))
    }

    fn run(&mut self) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Host(words) => {
                words.iter_mut().for_each(|word| *word = word.wrapping_add(1));
                std::hint::black_box(words);
                Ok(())
            }
            Self::Device(pair) => {
                let [to, from] = &mut **pair;
                crate::tensors::overwrite(to, from)
            }
        }
    }
}

/// Bytes of the CPU's last cache, where Linux tells them.
fn last_cache() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size").ok()?;
    let text = text.trim();
    let kib = text.strip_suffix('K').and_then(|number| number.parse::<usize>().ok());
    let mib = text.strip_suffix('M').and_then(|number| number.parse::<usize>().ok());
    kib.map(|kib| kib << 10).or(mib.map(|mib| mib << 20))
}

#[cfg(all(test, feature = "cuda", target_os = "linux"))]
mod tests {
    use super::*;

    /// A launch, and how often it was asked for.
    struct Counter {
        pair: [Tensor; 2],
        runs: usize,
    }

    impl Call for Counter {
        fn load(&mut self, _inputs: &[Tensor]) -> Result<()> {
            Ok(())
        }
        fn poison(&mut self) -> Result<()> {
            Ok(())
        }
        fn run(&mut self) -> Result<()> {
            self.runs += 1;
            let [to, from] = &mut self.pair;
            crate::tensors::overwrite(to, from)
        }
        fn outputs(&mut self) -> Result<Vec<Tensor>> {
            Ok(self.pair.to_vec())
        }
    }

    /// The copy that empties a GPU's caches is made before each call of a cold clock, outside the watch's two marks.
    #[test]
    fn a_cold_clock_of_a_gpu_copies_before_each_replay() {
        let _alone = crate::emulated_gpus();
        let device = Device::cuda(0).unwrap();
        let mut clock = Clock {
            device: device.clone(),
            cache: Cache::Cold,
            flush: Flush::new(&device, 1 << 12).unwrap(),
        };
        let pair = [0.0f32, 1.0].map(|x| Tensor::from_slice(&[x], &[1], &device).unwrap());
        let mut call = Counter { pair, runs: 0 };
        call.run().unwrap();
        let timed = clock.start(&mut call).unwrap();
        assert_eq!((timed.name(), call.runs), ("graph replays", 2));
        let Flush::Device(pair) = &clock.flush else { panic!("it empties no device's caches") };
        assert_eq!(pair[0].to_f64_vec().unwrap(), [0.0; 512]);
        // What was launched until now is taken out of the counts.
        let launches = || warpsmith_emulator::counts().unwrap().launches;
        launches();
        assert!(clock.sample(&mut call, &timed, 3).unwrap() > 0.0);
        assert_eq!((launches(), call.runs), (3 * 2, 2), "a copy and a replay each");
        let Flush::Device(pair) = &clock.flush else { panic!("it empties no device's caches") };
        assert_eq!(pair[0].to_f64_vec().unwrap(), [1.0; 512]);
    }
}
