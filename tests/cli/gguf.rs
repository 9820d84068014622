//! A GGUF file is taken wherever a model folder is, and talks if it says how.

use serde_json::Value;
use warpsmith_gguf::{Kind, Writer};

use super::{Place, refused, succeeded};
use crate::Checked;

const WIDTH: usize = 32;
const TEMPLATE: &str = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}{% if \
                        add_generation_prompt %}<s>assistant:{% endif %}";

/// A Llama of one block over bytes in 8 bits, with weights of no meaning.
pub(super) fn model(template: Option<&str>) -> Result<Vec<u8>, warpsmith_gguf::Error> {
    let tokens = ["<unk>", "<s>", "</s>"].map(String::from).into_iter();
    let tokens: Vec<String> = tokens.chain((0..256).map(|byte| format!("<0x{byte:02X}>"))).collect();
    let mut writer = Writer::new();
    writer.text("general.architecture", "llama");
    for (key, size) in [
        ("context_length", 96),
        ("embedding_length", WIDTH),
        ("block_count", 1),
        ("feed_forward_length", WIDTH),
        ("attention.head_count", 2),
    ] {
        writer.unsigned(&format!("llama.{key}"), size as u32);
    }
    writer.text("tokenizer.ggml.model", "llama");
    writer.texts("tokenizer.ggml.tokens", tokens.iter().map(String::as_str));
    writer.reals("tokenizer.ggml.scores", &vec![0.0; tokens.len()]);
    template.into_iter().for_each(|text| writer.text("tokenizer.chat_template", text));
    let mut state = 1u32;
    let mut noise = || {
        // Numerical Recipes, 2nd edition, section 7.1: the quick and dirty generator.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from((state >> 16) as u16) / 65_536.0 - 0.5
    };
    let matrices = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let mut add = |name: &str, rows: usize| {
        let numbers: Vec<f32> = (0..rows * WIDTH).map(|_| noise()).collect();
        writer.tensor(&format!("{name}.weight"), &[rows, WIDTH], Kind::Q8_0, &numbers)
    };
    add("token_embd", tokens.len())?;
    matrices.into_iter().try_for_each(|name| add(&format!("blk.0.{name}"), WIDTH))?;
    for norm in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
        writer.tensor(&format!("{norm}.weight"), &[WIDTH], Kind::F32, &[1.0; WIDTH])?;
    }
    Ok(writer.finish())
}

pub(super) fn logits(place: &Place, model: &str) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
    let flags = ["--ids", "1,70,80,90", "--out", "logits", "--device", "cpu"];
    succeeded(&place.run(&[&["logits", "--model", model], &flags[..]].concat()));
    let bytes = std::fs::read(place.path("logits"))?;
    let file = safetensors::SafeTensors::deserialize(&bytes)?;
    let numbers =
        file.tensor("logits")?.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    Ok(numbers.collect())
}

#[test]
fn a_file_writes_as_the_folder_that_is_made_of_it() -> Checked {
    let place = Place::new();
    place.write("m.gguf", &model(None)?);
    let told = succeeded(&place.run(&["convert", "--from", "m.gguf", "--out", "folder"]));
    assert!(told.contains("a Llama of"), "{told}");
    let (ours, truth) = (logits(&place, "m.gguf")?, logits(&place, "folder")?);
    let largest = truth.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert_eq!(ours.len(), 4 * 259);
    // The same numbers, but each of the five products behind one another rounds what it multiplies to 15 bits.
    let rounded = 5.0 * 2f32.powi(-15) * largest;
    assert!(ours.iter().zip(&truth).all(|(a, b)| (a - b).abs() <= rounded));
    let [file, folder] = ["m.gguf", "folder"].map(|model| {
        let words =
            ["generate", "--model", model, "--prompt", "line", "--temperature", "0", "--device", "cpu"];
        succeeded(&place.run(&[&words[..], &["--max_new_tokens", "8"]].concat()))
    });
    assert_eq!(file, folder);
    let error =
        refused(&place.run(&["convert", "--from", "m.gguf", "--out", "x", "--tokenizer", "text.txt"]), 2);
    assert!(error.contains("no --tokenizer"), "{error}");
    // And back: the same numbers, and the same text in halves of them.
    succeeded(&place.run(&["convert", "--from", "folder", "--to", "again.gguf", "--type", "f32"]));
    assert_eq!(logits(&place, "again.gguf")?, truth);
    succeeded(&place.run(&["convert", "--from", "folder", "--to", "half.gguf", "--type", "q8_0"]));
    // Numbers of 8 bits are found again as they were.
    let half = logits(&place, "half.gguf")?;
    assert!(half.iter().zip(&truth).all(|(a, b)| (a - b).abs() <= rounded));
    let error = refused(&place.run(&["convert", "--from", "text.txt", "--out", "x"]), 2);
    assert!(error.contains("no GGUF file"), "{error}");
    Ok(())
}

#[test]
fn a_model_with_a_template_talks_and_one_without_says_what_to_do() -> Checked {
    let place = Place::new();
    place.write("m.gguf", &model(Some(TEMPLATE))?);
    let words =
        ["chat", "--model", "m.gguf", "--temperature", "0", "--max_new_tokens", "4", "--device", "cpu"];
    let talk = |more: &[&str]| place.run(&[&words[..], more].concat());
    // Five special tokens: the user's are bytes.
    let told: Value =
        serde_json::from_str(&succeeded(&talk(&["--json", "--system", "x", "--prompt", "</s><s>"])))?;
    let bytes = ["system: x", "user: </s><s>", "assistant:"].iter().map(|part| part.len()).sum::<usize>();
    // A space is three bytes here, and each text begins with one.
    assert_eq!(told["prompt_tokens"], 5 + bytes + 3 * 3 + 2 * 2);
    assert_eq!(told["tokens"].as_array().map_or(0, Vec::len), 4);
    place.write("mute.gguf", &model(None)?);
    let error =
        refused(&place.run(&["chat", "--model", "mute.gguf", "--prompt", "Hi", "--device", "cpu"]), 1);
    assert!(error.contains("no chat template") && error.contains("--chat_template"), "{error}");
    place.write("t.jinja", b"{{ raise_exception('not today') }}");
    let error = refused(&talk(&["--chat_template", "t.jinja", "--prompt", "Hi"]), 1);
    assert!(error.contains("not today"), "{error}");
    // A folder that is made of the file talks as it does, and so does a file that is made of the folder.
    succeeded(&place.run(&["convert", "--from", "m.gguf", "--out", "talks"]));
    succeeded(&place.run(&["convert", "--from", "talks", "--to", "again.gguf", "--type", "q8_0"]));
    for name in ["talks", "again.gguf"] {
        let words =
            ["chat", "--model", name, "--temperature", "0", "--max_new_tokens", "4", "--device", "cpu"];
        let again = place.run(&[&words[..], &["--json", "--system", "x", "--prompt", "</s><s>"]].concat());
        assert_eq!(serde_json::from_str::<Value>(&succeeded(&again))?, told, "{name}");
    }
    // The second turn reads what is new in it: the answer, which has no letters here
    // and comes back as other bytes, and what the user says.
    place.write("turns", b"ab\ncd\n");
    let turns = std::fs::File::open(place.path("turns"))?;
    let told = succeeded(&place.command().args(words).arg("--json").stdin(turns).output()?);
    let turns: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let number = |i: usize, key: &str| turns[i][key].as_u64().unwrap_or_default();
    assert_eq!(number(0, "read_tokens"), number(0, "prompt_tokens"));
    assert_eq!(number(1, "read_tokens"), number(1, "prompt_tokens") - number(0, "prompt_tokens"), "{told}");
    let error = refused(&talk(&["--prompt", &"long ".repeat(30)]), 1);
    assert!(error.contains("begin a new chat"), "{error}");
    Ok(())
}

#[test]
fn inspect_tells_what_a_gguf_file_holds() -> Checked {
    let place = Place::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/gguf/blocks.gguf");
    let told: Value =
        serde_json::from_str(&succeeded(&place.run(&["inspect", "--model", golden, "--json"])))?;
    assert_eq!(told["metadata"]["general.architecture"], "llama");
    let rows = told["tensors"].as_array().ok_or("a table")?;
    let row = rows.iter().find(|row| row["name"] == "Q6_K").ok_or("a tensor")?;
    assert_eq!((&row["shape"], &row["bytes"]), (&serde_json::json!([2, 512]), &(4 * 210).into()));
    let table = succeeded(&place.run(&["inspect", "--model", golden]));
    assert!(table.contains("test.share = 0.25") && table.contains("[2, 512]"), "{table}");
    let error = refused(&place.run(&["inspect", "--model", "text.txt"]), 1);
    assert!(error.contains("text.txt: not a GGUF file"), "{error}");
    // The same tokenizer and the same cache as the folder that is made of it has.
    place.write("m.gguf", &model(None)?);
    let told = succeeded(&place.run(&["convert", "--from", "m.gguf", "--out", "folder", "--json"]));
    let told: Value = serde_json::from_str(&told)?;
    assert_eq!(
        (&told["out"], &told["family"], &told["vocab_size"]),
        (&"folder".into(), &"Llama".into(), &259.into())
    );
    let look = |model: &str| -> Result<Value, Box<dyn std::error::Error>> {
        Ok(serde_json::from_str(&succeeded(&place.run(&["inspect", "--model", model, "--json"])))?)
    };
    let (file, folder) = (look("m.gguf")?, look("folder")?);
    assert!(file["tokenizer"]["vocab_size"] == 259, "{file}");
    assert_eq!(file["tokenizer"], folder["tokenizer"]);
    for key in ["cache_per_position", "cache_of_context"] {
        assert!(file[key].is_u64());
        assert_eq!(file[key], folder["memory"][key], "{key}");
    }
    let table = succeeded(&place.run(&["inspect", "--model", "m.gguf"]));
    assert!(table.contains("keys and values") && table.contains("259 tokens"), "{table}");
    Ok(())
}

#[test]
fn the_tokens_of_texts_are_told() -> Checked {
    let place = Place::new();
    place.write("m.gguf", &model(None)?);
    let words = ["tokenize", "--model", "m.gguf", "--json"];
    let told = succeeded(&place.run(&[&words[..], &["--special", "--", "-é", ""]].concat()));
    let lines: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    // A start token, the space before each text, and bytes; byte b has the id b + 3.
    assert_eq!(lines[0]["ids"], serde_json::json!([1, 229, 153, 132, 48, 198, 172]));
    assert_eq!((&lines[0]["tokens"][4], &lines[1]["ids"]), (&"<0x2D>".into(), &serde_json::json!([1])));
    place.write("vocab.txt", b"[UNK]\n[CLS]\n[SEP]\nline\n");
    let table = succeeded(&place.run(&["tokenize", "--model", ".", "Line x"]));
    assert_eq!(table, "3 \"line\"  0 \"[UNK]\"\n");
    let error = refused(&place.run(&["tokenize", "--model", "text.txt", "x"]), 1);
    assert!(error.contains("text.txt is not a usable tokenizer"), "{error}");
    Ok(())
}
