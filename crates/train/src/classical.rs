//! Folders of models that are of no family: the networks before the Transformer, and whatever a program builds of layers.
//!
//! `config.json` is what the program needs to build its model and to prepare what goes in: sizes, names of classes, the scaler of its
//! columns. `model.safetensors` holds the parameters by their names.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use warpsmith_autograd::Parameter;
use warpsmith_model::{load_parameters, state};
use warpsmith_tensor::Device;

use crate::folder::{CONFIG, read_config, read_tensors, write_state, write_text};
use crate::{Error, Result};

/// Writes a model; the folder is made if there is none.
///
/// # Errors
/// If two parameters have one name, the config is no JSON, or a file cannot be written.
pub fn write<C: Serialize>(dir: &Path, config: &C, parameters: &[Parameter]) -> Result<()> {
    let state = state(parameters);
    if state.len() < parameters.len() {
        let problem =
            "two parameters have one name: build the parts of the model at different places of its weights";
        return Err(Error::Run(problem.into()));
    }
    let text = serde_json::to_string_pretty(config).map_err(Error::at(dir))?;
    std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    write_text(dir, CONFIG, &(text + "\n"))?;
    write_state(dir, &state)
}

/// What [`write()`] was told of a model.
///
/// # Errors
/// If the folder or its `config.json` is missing, or is not what `C` says.
pub fn read<C: DeserializeOwned>(dir: &Path) -> Result<C> {
    serde_json::from_str(&read_config(dir)?).map_err(Error::at(&dir.join(CONFIG)))
}

/// Gives the parameters of a model, built as [`read`] says, the values in the folder; nothing is changed unless everything fits.
///
/// # Errors
/// If the file of weights is missing or damaged; if a parameter is missing, unexpected or misshapen: the error lists them.
pub fn load(dir: &Path, parameters: &[Parameter]) -> Result<()> {
    let device = parameters.first().map_or(Device::Cpu, |p| p.get().device());
    load_parameters(parameters, read_tensors(dir, &device)?).map_err(Error::at(dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use warpsmith_model::Weights;
    use warpsmith_model::classical::{Cell, Mlp, RecurrentConfig, RecurrentLm};
    use warpsmith_tensor::{Rng, Seed, Tensor};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        sizes: Vec<usize>,
        classes: Vec<String>,
    }

    fn mlp(sizes: &[usize], seed: u64) -> Mlp {
        Mlp::new(&Weights::random(Seed(seed), &Device::Cpu), sizes).unwrap()
    }

    #[test]
    fn what_is_written_comes_back_with_every_bit() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("mlp");
        let config = Config { sizes: vec![3, 5, 2], classes: vec!["否".into(), "是".into()] };
        let (model, x) = (mlp(&config.sizes, 1), Rng::new(Seed(9)).normal(12));
        let x = Tensor::from_vec(x, &[4, 3], &Device::Cpu).unwrap();
        write(&dir, &config, &model.parameters()).unwrap();
        let found: Config = read(&dir).unwrap();
        assert_eq!(found, config);
        let other = mlp(&found.sizes, 2);
        let logits = |model: &Mlp| model.forward(&x).unwrap().to_vec::<f32>().unwrap();
        assert_ne!(logits(&other), logits(&model));
        load(&dir, &other.parameters()).unwrap();
        assert_eq!(logits(&other), logits(&model));

        let lm = |seed| {
            RecurrentLm::new(11, RecurrentConfig::new(Cell::Lstm, 4, 6), &Device::Cpu, Seed(seed)).unwrap()
        };
        let (model, other) = (lm(1), lm(2));
        write(&dir, &(11, 4, 6), &model.parameters()).unwrap();
        load(&dir, &other.parameters()).unwrap();
        assert_eq!(read::<(usize, usize, usize)>(&dir).unwrap(), (11, 4, 6));
        assert_eq!(other.complete(&[1, 2], 20).unwrap(), model.complete(&[1, 2], 20).unwrap());
    }

    #[test]
    fn a_folder_of_another_model_is_refused_and_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let (dir, config) = (place.path(), Config { sizes: vec![3, 5, 2], classes: Vec::new() });
        let missing = load(dir, &mlp(&[3, 2], 1).parameters()).unwrap_err().to_string();
        assert!(missing.contains("model.safetensors"), "{missing}");
        write(dir, &config, &mlp(&config.sizes, 1).parameters()).unwrap();
        for sizes in [&[3, 5, 5, 2][..], &[3, 2], &[3, 4, 2]] {
            let other = mlp(sizes, 2);
            let state =
                || other.parameters().iter().map(|p| p.get().to_vec::<f32>().unwrap()).collect::<Vec<_>>();
            let before = state();
            let error = load(dir, &other.parameters()).unwrap_err().to_string();
            assert!(error.contains("layers."), "{error}");
            assert_eq!(state(), before);
        }
        let error = read::<(usize, usize)>(dir).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
        let one = mlp(&[3, 2], 1).parameters();
        let error = write(dir, &config, &[&one[..], &one].concat()).unwrap_err().to_string();
        assert!(error.contains("two parameters have one name"), "{error}");
        assert_eq!(read::<Config>(dir).unwrap(), config);
    }
}
