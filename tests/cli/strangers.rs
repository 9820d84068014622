//! Model folders from strangers: each is refused in a line, and nothing in it obeys but what is meant to.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use warpsmith::model::{BertConfig, BertTask, LlamaKind, Task, to_safetensors};
use warpsmith::prelude::*;

use super::families::{encoder, folder};
use super::{Place, refused, stderr, succeeded};
use crate::Checked;

/// Writes the weights of a folder again, as `change` wants them: f32 under their names.
fn reweigh(
    place: &Place,
    name: &str,
    change: impl FnOnce(&mut BTreeMap<String, (Vec<usize>, Vec<u8>)>),
) -> Checked {
    let path = place.path(name).join("model.safetensors");
    let bytes = std::fs::read(&path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let mut all: BTreeMap<_, _> =
        file.iter().map(|(name, t)| (name.to_owned(), (t.shape().to_vec(), t.data().to_vec()))).collect();
    change(&mut all);
    let views =
        all.iter().map(|(name, (shape, data))| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    std::fs::write(&path, serialize(views, None)?)?;
    Ok(())
}

/// The first tensor becomes NaN.
fn break_weights(place: &Place, name: &str) -> Checked {
    let nan = |data: &mut [u8]| data.chunks_mut(4).for_each(|v| v.copy_from_slice(&f32::NAN.to_le_bytes()));
    reweigh(place, name, |all| all.values_mut().take(1).for_each(|(_, data)| nan(data)))
}

/// Terminals obey escapes, and a name may be as long as its file.
#[test]
fn names_in_files_are_told_in_letters_and_not_whole() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Llama)?;
    let names = ["\x1b[2Jevil\r", &"x".repeat(100_000)];
    for name in names {
        reweigh(&place, "llama", |all| _ = all.insert(name.into(), (vec![0], Vec::new())))?;
        let error = refused(&place.run(&["inspect", "--model", "llama"]), 1);
        assert!(error.len() < 20_000 && !error.contains(['\x1b', '\r']), "{error}");
        assert!(error.contains("\\u{1b}[2Jevil\\r") || error.ends_with("bytes more"), "{error}");
    }
    Ok(())
}

/// Where a file is wanted, a pipe would wait for ever, and `/dev/zero` never end.
#[test]
fn what_is_no_file_is_not_read() -> Checked {
    let place = Place::new();
    folder(&place, LlamaKind::Llama)?;
    for name in ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"] {
        let (path, kept) = (place.path("llama").join(name), place.path("kept"));
        let was_there = std::fs::rename(&path, &kept).is_ok();
        for device in [false, true] {
            match device {
                true => std::os::unix::fs::symlink("/dev/zero", &path)?,
                false => assert!(Command::new("mkfifo").arg(&path).status()?.success()),
            }
            let mut command = place.command();
            command.args(["generate", "--model", "llama", "--prompt", "a", "--device", "cpu"]);
            let mut child = command.stderr(std::process::Stdio::piped()).spawn()?;
            let limit = Instant::now() + Duration::from_secs(60);
            while child.try_wait()?.is_none() {
                if Instant::now() > limit {
                    child.kill()?;
                    panic!("{name}: the command waits");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let error = refused(&child.wait_with_output()?, 1);
            assert!(error.contains(name) && error.contains("a pipe or a device"), "{name}: {error}");
            std::fs::remove_file(&path)?;
        }
        if was_there {
            std::fs::rename(&kept, &path)?;
        }
    }
    Ok(())
}

#[test]
fn vectors_and_labels_of_broken_weights_are_refused() -> Checked {
    let place = Place::new();
    encoder(&place)?;
    succeeded(&place.run(&["embed", "--model", "bert", "one two"]));
    let config = place.path("bert").join("config.json");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("1e-12", "-1e3"))?;
    let error = refused(&place.run(&["embed", "--model", "bert", "one two"]), 1);
    assert!(error.contains("eps is -1000") && error.contains("layer_norm_eps"), "{error}");
    std::fs::write(&config, &text)?;
    break_weights(&place, "bert")?;
    let asked = |command: &str, flags: &[&str]| {
        let output = place.run(&[&[command, "--model", "bert", "one two", "three"][..], flags].concat());
        assert!(output.stdout.is_empty());
        assert!(refused(&output, 1).contains("`one two` is not finite"), "{command}: {}", stderr(&output));
    };
    asked("embed", &[]);
    asked("embed", &["--json"]);
    let task = Task::SequenceClassification;
    let model = BertTask::new(BertConfig::from_json(&text)?.0, task, &Device::Cpu, Seed(3))?;
    place.write("bert/config.json", model.config_json().as_bytes());
    place.write("bert/model.safetensors", &to_safetensors(&model.state(), &[])?);
    succeeded(&place.run(&["classify", "--model", "bert", "one two"]));
    break_weights(&place, "bert")?;
    asked("classify", &[]);
    asked("classify", &["--json"]);
    Ok(())
}

/// JSON has no word for such numbers, and terminals obey what a key may hold.
#[test]
fn metadata_of_a_gguf_file_is_told_as_it_is() {
    let place = Place::new();
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    let pairs = [("a\x1b[2J\n", f32::NAN), ("b", f32::NEG_INFINITY), ("c", 0.5)];
    file.extend([0u64, 3].into_iter().flat_map(u64::to_le_bytes));
    for (key, value) in pairs {
        file.extend((key.len() as u64).to_le_bytes());
        file.extend(key.bytes());
        file.extend(6u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.resize(file.len().next_multiple_of(32), 0);
    place.write("m.gguf", &file);
    let told = succeeded(&place.run(&["inspect", "--model", "m.gguf"]));
    assert!(told.starts_with("a\\u{1b}[2J\\n = \"NaN\"\nb = \"-inf\"\nc = 0.5\n"), "{told}");
    let told = succeeded(&place.run(&["inspect", "--model", "m.gguf", "--json"]));
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["metadata"]["b"], "-inf");
}
