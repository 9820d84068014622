//! The engine with a watch of its own, which tells somebody of each sample that it is asked for.

use std::rc::Rc;

use warpsmith_bench::Result;
use warpsmith_bench::contender::{Call, Contender};
use warpsmith_bench::engine::Engine;
use warpsmith_bench::tasks::Case;
use warpsmith_tensor::Tensor;

/// A name, and who is told.
pub struct Watched(&'static str, Rc<dyn Fn()>);
struct WatchedCall(Box<dyn Call>, Rc<dyn Fn()>);

impl Watched {
    pub fn boxed(name: &'static str, asked: impl Fn() + 'static) -> Box<dyn Contender> {
        Box::new(Self(name, Rc::new(asked)))
    }
}

impl Contender for Watched {
    fn name(&self) -> String {
        self.0.into()
    }

    fn prepare(&mut self, case: &Case, inputs: &[Tensor]) -> Result<Box<dyn Call>> {
        Ok(Box::new(WatchedCall(Engine.prepare(case, inputs)?, self.1.clone())))
    }
}

impl Call for WatchedCall {
    fn load(&mut self, inputs: &[Tensor]) -> Result<()> {
        self.0.load(inputs)
    }
    fn poison(&mut self) -> Result<()> {
        self.0.poison()
    }
    fn run(&mut self) -> Result<()> {
        self.0.run()
    }
    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        self.0.outputs()
    }
    fn time(&mut self, _calls: usize, _cold: bool) -> Option<Result<f64>> {
        (self.1)();
        Some(Ok(1e-6))
    }
}
