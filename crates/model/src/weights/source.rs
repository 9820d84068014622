//! Where the parameters of a model come from: drawn at random, or taken from the tensors of a file. A family is written
//! once, against [`Weights`], and is made new and loaded by the same lines.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

use warpsmith_autograd::Parameter;
use warpsmith_ops::linear::Precision;
use warpsmith_tensor::{DType, Device, Result, Rng, Seed, Shape, Tensor};

use super::{Held, Policy, Quantised};

/// After so many missing or misshapen tensors the rest is not listed: file and config belong to different models, and a
/// damaged config may ask for any number of layers.
const MOST: usize = 100;

/// What a parameter is before it has learned anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal numbers of mean 0 and this deviation.
    Normal(f64),
    /// One value everywhere.
    Constant(f64),
}

/// A place in the tree of a model's parameters, and the source that they come from.
#[derive(Clone)]
pub struct Weights {
    source: Rc<Source>,
    device: Device,
    precision: Precision,
    path: String,
}

/// A matrix that a model holds as the file has it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The shape that it would have as a parameter.
    pub dims: [usize; 2],
    /// Its rows.
    pub rows: Quantised,
}

enum Source {
    Random(Rng),
    Given(RefCell<Given>),
}

impl Weights {
    /// Random weights, drawn in the order in which the model asks for them.
    pub fn random(seed: Seed, device: &Device) -> Self {
        Self::new(Source::Random(Rng::new(seed)), device)
    }

    /// The weights of a file, by name.
    pub fn given(tensors: BTreeMap<String, Tensor>, device: &Device) -> Self {
        Self::held(tensors, Held::AsF32, device)
    }

    /// The weights of a file, by name; with [`Held::AsStored`] matrices of bf16 and f16 stay so.
    pub fn held(tensors: BTreeMap<String, Tensor>, policy: impl Into<Policy>, device: &Device) -> Self {
        let Policy { held, precision } = policy.into();
        let given = Given { held, ..Given::new(tensors) };
        Self::new(Source::Given(RefCell::new(given)), device).with_precision(precision)
    }

    /// The weights of a file, by name, some of them matrices in quantised blocks.
    pub fn stored(
        tensors: BTreeMap<String, Tensor>,
        blocks: BTreeMap<String, Quantised>,
        precision: Precision,
        device: &Device,
    ) -> Self {
        let given = Given { blocks, ..Given::new(tensors) };
        Self::new(Source::Given(RefCell::new(given)), device).with_precision(precision)
    }

    fn new(source: Source, device: &Device) -> Self {
        Self {
            source: Rc::new(source),
            device: device.clone(),
            precision: Precision::F32,
            path: String::new(),
        }
    }

    /// The same weights, for a model whose products are taken in this precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// In what precision the layers that are built of these weights multiply.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Where the parameters will live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The place `name` below this one: names are joined by dots.
    pub fn at(&self, name: impl Display) -> Self {
        Self {
            path: self.name(&name.to_string()),
            source: self.source.clone(),
            device: self.device.clone(),
            precision: self.precision,
        }
    }

    fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// The f32 parameter `name` of this place. One that the file lacks, or has in another shape, is remembered for
    /// [`Weights::finish`], and stands in as an empty one.
    ///
    /// # Errors
    /// If memory runs out, or so much is missing that the file must be of another model.
    pub fn parameter(&self, name: &str, dims: &[usize], init: Init) -> Result<Parameter> {
        let name = self.name(name);
        let value = match &*self.source {
            Source::Random(rng) => draw(dims, init, rng, &self.device)?,
            Source::Given(given) => {
                let taken = given.borrow_mut().take(&name, &Shape::new(dims)?, DType::F32)?;
                match taken {
                    Some(tensor) => tensor.to_device(&self.device)?,
                    None => Tensor::zeros(Shape::new(&[0])?, DType::F32, &self.device)?,
                }
            }
        };
        Parameter::new(name, &value)
    }

    /// The matrix (N, K) `name` of this place as the file has it, in quantised blocks or floats of 16 bits, if it is to be
    /// held so. Floats lie as (N, K) there if `transposed`, else as (K, N).
    ///
    /// # Errors
    /// If memory runs out.
    pub fn quantised(
        &self,
        name: &str,
        (n, k): (usize, usize),
        transposed: bool,
    ) -> Result<Option<Quantised>> {
        let Source::Given(given) = &*self.source else { return Ok(None) };
        let (mut given, name) = (given.borrow_mut(), self.name(name));
        let found = match given.take_blocks(&name, (n, k)) {
            None => given.take_floats(&name, (n, k), transposed, &self.device)?,
            blocks => blocks,
        };
        let dims = if transposed { [n, k] } else { [k, n] };
        given.kept.extend(found.iter().map(|rows| (name.clone(), Kept { dims, rows: rows.clone() })));
        Ok(found)
    }

    /// The matrices that the model holds as the file has them, by name.
    pub fn kept(&self) -> BTreeMap<String, Kept> {
        match &*self.source {
            Source::Random(_) => BTreeMap::new(),
            Source::Given(given) => given.borrow().kept.clone(),
        }
    }

    /// Gives the numbers of the file other names.
    pub(crate) fn rename(&self, names: impl FnOnce(BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor>) {
        if let Source::Given(given) = &*self.source {
            let mut given = given.borrow_mut();
            given.tensors = names(std::mem::take(&mut given.tensors));
        }
    }

    /// Says that `copy` (a full name) is another name for the tensor `name`: a tied weight, which the model holds once. If
    /// the file has both they must be equal; if it has the copy alone, that is taken.
    pub fn tie(&self, name: &str, copy: &str) -> Result<()> {
        match &*self.source {
            Source::Random(_) => Ok(()),
            Source::Given(given) => given.borrow_mut().tie(name, copy),
        }
    }

    /// Whether the file has a tensor of this name here, not yet taken. Never so for random weights.
    pub fn has(&self, name: &str) -> bool {
        match &*self.source {
            Source::Random(_) => false,
            Source::Given(given) => given.borrow().tensors.contains_key(&self.name(name)),
        }
    }

    /// Sets parameters that there are to what the file has under their names; nothing is changed unless everything fits.
    ///
    /// # Errors
    /// As [`Weights::finish`].
    pub(crate) fn load(&self, parameters: &[Parameter]) -> Result<()> {
        let Source::Given(given) = &*self.source else { return Ok(()) };
        let mut given = given.borrow_mut();
        let values: Vec<Option<Tensor>> = parameters
            .iter()
            .map(|p| given.take(p.name(), &p.shape(), p.get().dtype()))
            .collect::<Result<_>>()?;
        given.finish()?;
        parameters.iter().zip(values.iter().flatten()).try_for_each(|(p, value)| p.set(value))
    }

    /// To be called when the model is whole.
    ///
    /// # Errors
    /// If anything was missing, misshapen or left over: the error lists it all.
    pub fn finish(&self) -> Result<()> {
        match &*self.source {
            Source::Random(_) => Ok(()),
            Source::Given(given) => given.borrow().finish(),
        }
    }
}

fn draw(dims: &[usize], init: Init, rng: &Rng, device: &Device) -> Result<Tensor> {
    let shape = Shape::new(dims)?;
    match init {
        Init::Constant(value) => Tensor::full(shape, value, DType::F32, device),
        Init::Normal(std) => {
            let mut values = Tensor::randn(dims, rng, &Device::Cpu)?;
            values.data_mut::<f32>()?.iter_mut().for_each(|v| *v *= std as f32);
            values.to_device(device)
        }
    }
}

/// The tensors of a file, taken one by one; what does not fit is collected.
struct Given {
    tensors: BTreeMap<String, Tensor>,
    blocks: BTreeMap<String, Quantised>,
    held: Held,
    /// What was taken in the form of the file.
    kept: BTreeMap<String, Kept>,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl Given {
    fn new(tensors: BTreeMap<String, Tensor>) -> Self {
        let (blocks, kept) = (BTreeMap::new(), BTreeMap::new());
        Self { tensors, blocks, held: Held::AsF32, kept, missing: Vec::new(), misshapen: Vec::new() }
    }

    /// The tensor of this name in `dtype`, or `None` after noting what is wrong with it.
    fn take(&mut self, name: &str, shape: &Shape, dtype: DType) -> Result<Option<Tensor>> {
        // Who asks for numbers gets them.
        let as_numbers = self.blocks.remove(name).map(|blocks| blocks.numbers()).transpose()?;
        match as_numbers.or_else(|| self.tensors.remove(name)) {
            None => self.missing.push(name.into()),
            Some(t) if t.shape() != shape => {
                self.misshapen.push(format!("{name}: the file has {}, the model {shape}", t.shape()));
            }
            Some(t) if !t.dtype().is_float() => {
                self.misshapen.push(format!("{name}: the file holds {}, a weight is a float", t.dtype()));
            }
            Some(t) => return t.to_dtype(dtype).map(Some),
        }
        if self.missing.len() + self.misshapen.len() > MOST { self.finish().map(|()| None) } else { Ok(None) }
    }

    /// The blocks of this name, unless they are of another shape: then they are left over, and listed.
    fn take_blocks(&mut self, name: &str, shape: (usize, usize)) -> Option<Quantised> {
        self.blocks.get(name).filter(|blocks| blocks.shape() == shape)?;
        self.blocks.remove(name)
    }

    /// The 16-bit floats of this name as rows (N, K), if they are to stay such and have that shape.
    fn take_floats(
        &mut self,
        name: &str,
        (n, k): (usize, usize),
        transposed: bool,
        device: &Device,
    ) -> Result<Option<Quantised>> {
        let dims = if transposed { [n, k] } else { [k, n] };
        let found = self.tensors.get(name).filter(|t| t.dims() == dims && self.held == Held::AsStored);
        let Some(there) = found else { return Ok(None) };
        let rows = if transposed { there.clone() } else { there.view(there.layout().transpose(0, 1)?)? };
        let rows = Quantised::of_floats(&rows, device)?;
        if rows.is_some() {
            self.tensors.remove(name);
        }
        Ok(rows)
    }

    /// See [`Weights::tie`].
    fn tie(&mut self, name: &str, copy: &str) -> Result<()> {
        if let (Some(first), Some(second)) = (self.blocks.get(name), self.blocks.get(copy))
            && first.is_same(second)?
        {
            self.blocks.remove(copy);
        }
        let Some(second) = self.tensors.remove(copy) else { return Ok(()) };
        match self.tensors.get(name) {
            None => {
                self.tensors.insert(name.into(), second);
            }
            Some(first) if !same(first, &second)? => {
                return Err(super::file(format!("{name} and {copy} differ, but the config ties them"))
                    .hint("set tie_word_embeddings to false"));
            }
            Some(_) => (),
        }
        Ok(())
    }

    /// See [`Weights::finish`].
    fn finish(&self) -> Result<()> {
        let left: Vec<&String> = self.tensors.keys().chain(self.blocks.keys()).collect();
        if self.missing.is_empty() && self.misshapen.is_empty() && left.is_empty() {
            return Ok(());
        }
        let mut parts = Vec::new();
        let mut list = |what: &str, names: Vec<&String>| {
            if !names.is_empty() {
                let shown: Vec<&str> = names.iter().take(MOST).map(|n| n.as_str()).collect();
                let more = if names.len() > MOST {
                    format!(", and {} more", names.len() - MOST)
                } else {
                    String::new()
                };
                parts.push(format!("{what}: [{}{more}]", shown.join(", ")));
            }
        };
        list("missing", self.missing.iter().collect());
        // Whoever stopped early has not asked for the rest, which says nothing then.
        if self.missing.len() + self.misshapen.len() <= MOST {
            list("unexpected", left);
        }
        list("misshapen", self.misshapen.iter().collect());
        Err(super::file(parts.join("; ")).hint("is this the weight file of this config.json?"))
    }
}

/// Whether two tensors hold the same numbers.
fn same(a: &Tensor, b: &Tensor) -> Result<bool> {
    Ok(a.shape() == b.shape()
        && a.to_dtype(DType::F32)?.to_vec::<f32>()? == b.to_dtype(DType::F32)?.to_vec::<f32>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpsmith_tensor::Kind;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::from_slice(values, &[values.len()], &Device::Cpu).unwrap()
    }

    fn given(names: &[&str]) -> Weights {
        let tensors = names.iter().map(|n| (n.to_string(), tensor(&[1.0, 2.0]))).collect();
        Weights::given(tensors, &Device::Cpu)
    }

    #[test]
    fn everything_that_does_not_fit_is_listed_at_once() {
        let weights = given(&["a.weight", "b.weight", "c.weight"]);
        weights.at("a").parameter("weight", &[2], Init::Constant(0.0)).unwrap();
        weights.at("b").parameter("weight", &[3], Init::Constant(0.0)).unwrap();
        weights.at("d").parameter("bias", &[2], Init::Constant(0.0)).unwrap();
        let error = weights.finish().unwrap_err();
        assert_eq!(error.kind(), Kind::File);
        let error = error.to_string();
        for part in
            ["missing: [d.bias]", "unexpected: [c.weight]", "b.weight: the file has (2,), the model (3,)"]
        {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_tied_weight_is_taken_once_under_either_name() {
        for names in [&["wte", "head"][..], &["wte"], &["head"]] {
            let weights = given(names);
            weights.tie("wte", "head").unwrap();
            let wte = weights.parameter("wte", &[2], Init::Constant(0.0)).unwrap();
            weights.finish().unwrap();
            assert_eq!(wte.get().to_vec::<f32>().unwrap(), [1.0, 2.0]);
        }
        let tensors = BTreeMap::from([("wte".into(), tensor(&[1.0])), ("head".into(), tensor(&[2.0]))]);
        let error = Weights::given(tensors, &Device::Cpu).tie("wte", "head").unwrap_err().to_string();
        assert!(error.contains("differ") && error.contains("tie_word_embeddings"), "{error}");
    }

    #[test]
    fn integers_are_no_weights_and_a_wrong_file_is_left_early() {
        let ids = Tensor::from_slice(&[1i64, 2], &[2], &Device::Cpu).unwrap();
        let weights = Weights::given(BTreeMap::from([("a".into(), ids)]), &Device::Cpu);
        weights.parameter("a", &[2], Init::Constant(0.0)).unwrap();
        assert!(weights.finish().unwrap_err().to_string().contains("a weight is a float"));
        let weights = given(&[]);
        let asked =
            (0..1_000_000).find(|i| weights.at(i).parameter("w", &[1 << 40], Init::Normal(1.0)).is_err());
        assert_eq!(asked, Some(MOST));
    }
}
