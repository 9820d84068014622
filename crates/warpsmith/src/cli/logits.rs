//! `warpsmith logits`: what a model says of given ids, for comparison with other programs.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use warpsmith::autograd::no_grad;
use warpsmith::model::{Held, to_safetensors};
use warpsmith::tensor::{DType, Layout, Shape, Tensor};
use warpsmith::train::atomic::write_atomic;
use warpsmith::train::folder::read_model;

use super::{Failure, device, flags};

/// The flags.
pub fn command() -> Command {
    Command::new("logits")
        .about("Writes the logits of given ids: f32 [T, V] under the key `logits`")
        .arg(flags::decoder())
        .arg(device::arg())
        .arg(flags::dtype())
        .arg(Arg::new("ids").long("ids").value_name("1,2,3").required(true).help("Token ids."))
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE.safetensors")
                .required(true)
                .help("Where to write them."),
        )
}

/// `warpsmith logits`.
pub fn run(args: &ArgMatches) -> Result<(), Failure> {
    let text = args.get_one::<String>("ids").map_or("", String::as_str);
    let ids: Vec<u32> = text
        .split(',')
        .map(|id| {
            id.trim()
                .parse()
                .map_err(|_| Failure::Usage(format!("--ids: `{id}` is not a token id; write 1,2,3")))
        })
        .collect::<Result<_, _>>()?;
    let model = read_model(flags::model_path(args), flags::policy(args, Held::AsStored), &device::of(args)?)?;
    let batch = Tensor::from_slice(&ids, &[1, ids.len()], model.device())?;
    let logits = no_grad(|| model.forward(&batch))?.to_dtype(DType::F32)?; // (1, T, V)
    let rows = Shape::new(&logits.dims()[1..])?;
    let logits = logits.view(Layout::contiguous(rows))?; // (T, V)
    let bytes = to_safetensors(&BTreeMap::from([("logits".to_string(), logits)]), &[])?;
    let out = args.get_one::<String>("out").map_or("", String::as_str);
    write_atomic(Path::new(out), |file| file.write_all(&bytes))?;
    say!("{out}: logits f32 {rows}")?;
    Ok(())
}
