//! Classifiers of texts: decoders against transformers, new heads on bodies of other tasks.

use serde_json::Value;
use warpsmith_autograd::no_grad;
use warpsmith_model::{BertConfig, BertTask, Held, TextClassifier, Weights, causal_model};
use warpsmith_tensor::{DType, Device, Seed, Tensor};

use crate::golden::{Tensors, assert_close, ids, json, tensors, weights};

fn cases(file: &str) -> Vec<(String, Value)> {
    let Value::Object(cases) = json(file)["cases"].take() else { panic!("no cases") };
    cases.into_iter().collect()
}

fn rows(case: &Value) -> Vec<Vec<u32>> {
    (0..2).map(|i| ids(&case["ids"][i])).collect()
}

fn logits(model: &TextClassifier, rows: &[Vec<u32>]) -> Tensor {
    no_grad(|| model.forward(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), None)).unwrap()
}

fn bits(model: &TextClassifier, rows: &[Vec<u32>]) -> Vec<f32> {
    logits(model, rows).to_vec().unwrap()
}

#[test]
fn logits_are_those_of_transformers_and_of_each_sequence_alone() {
    let truth = tensors("classifiers.safetensors");
    for (name, case) in &cases("classifiers.json") {
        let state = weights(&case["shapes"]);
        let model = TextClassifier::from_state(&case["config"].to_string(), state, Held::AsF32, &Device::Cpu)
            .unwrap();
        let rows = rows(case);
        assert_close(name, &logits(&model, &rows), &truth[name], 1e-5);
        assert_eq!(bits(&model, &rows)[3..], bits(&model, &rows[1..]), "{name}");
        // What we write is the same model, and names the tensors that transformers asks for.
        assert_eq!(
            model.state().keys().collect::<Vec<_>>(),
            case["shapes"].as_object().unwrap().keys().collect::<Vec<_>>()
        );
        let config = model.config_json();
        for key in ["architectures", "id2label", "label2id", "pad_token_id"] {
            assert_eq!(
                serde_json::from_str::<Value>(&config).unwrap()[key],
                case["config"][key],
                "{name} {key}"
            );
        }
        let again = TextClassifier::from_state(&config, model.state(), Held::AsF32, &Device::Cpu).unwrap();
        assert_eq!(bits(&again, &rows), bits(&model, &rows), "{name}");
    }
}

/// An encoder whose rows are wide enough to stay in 16 bits, and its weights.
fn wide_encoder() -> (String, Tensors) {
    let json = r#"{"model_type": "bert", "vocab_size": 37, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 20, "initializer_range": 0.3,
        "architectures": ["BertForSequenceClassification"], "id2label": {"0": "no", "1": "maybe", "2": "yes"}}"#;
    let (config, task) = BertConfig::from_json(json).unwrap();
    (json.into(), BertTask::new(config, task, &Device::Cpu, Seed(1)).unwrap().state())
}

/// Matrices of 16 bits are no parameters then, but multiplied as they lie; the numbers are the same ones.
#[test]
fn a_folder_of_sixteen_bits_is_asked_as_it_is_stored() {
    let decoders = cases("classifiers.json");
    let decoders = decoders.iter().map(|(_, case)| (case["config"].to_string(), weights(&case["shapes"])));
    for (config, state) in decoders.chain([wide_encoder()]) {
        let state: Tensors =
            state.into_iter().map(|(name, t)| (name, t.to_dtype(DType::BF16).unwrap())).collect();
        let open = |held| TextClassifier::from_state(&config, state.clone(), held, &Device::Cpu).unwrap();
        let matrices =
            |model: &TextClassifier| model.parameters().iter().filter(|p| p.shape().rank() == 2).count();
        let (stored, widened) = (open(Held::AsStored), open(Held::AsF32));
        // Tables of positions, the head of a decoder and rows of 48 are numbers.
        assert!(matrices(&stored) <= 3 && matrices(&widened) > 8, "{config}");
        let rows = [vec![5, 1, 30, 7, 7, 36, 2], vec![3, 9]];
        // Products of bf16 round the other operand to 15 bits, a few times behind one another.
        assert_close("stored", &logits(&stored, &rows), &logits(&widened, &rows), 16.0 * 2f64.powi(-15));
        assert_eq!(bits(&stored, &rows)[3..], bits(&stored, &rows[1..]));
    }
}

fn with_head(config: &str, state: Tensors, seed: u64) -> TextClassifier {
    let labels = ["no", "maybe", "yes"].map(String::from).to_vec();
    TextClassifier::with_new_head(config, state, labels, Some(3), &Weights::random(Seed(seed), &Device::Cpu))
        .unwrap()
}

#[test]
fn any_body_takes_a_new_head() {
    let cases = [cases("causal.json"), cases("encoders.json")].concat();
    for (name, case) in &cases {
        let (config, state) = (case["config"].to_string(), weights(&case["shapes"]));
        let model = with_head(&config, state.clone(), 1);
        assert_eq!(model.labels(), ["no", "maybe", "yes"], "{name}");
        let is_head = |key: &str| model.head().iter().any(|p| p.name() == key);
        let values = |t: &Tensor| t.to_vec::<f32>().unwrap();
        for (key, value) in model.state() {
            let given = state.get(&key).or_else(|| state.get(key.trim_start_matches("bert.")));
            match given.filter(|_| !key.starts_with("classifier.")) {
                Some(given) => assert_eq!(values(given), values(&value), "{name}: {key}"),
                None => assert!(is_head(&key), "{name}: {key}"),
            }
        }
        let row = vec![(0..9).collect::<Vec<u32>>()];
        assert_ne!(bits(&model, &row), bits(&with_head(&config, state, 2), &row), "{name}: a head is drawn");
        let again =
            TextClassifier::from_state(&model.config_json(), model.state(), Held::AsF32, &Device::Cpu)
                .unwrap();
        assert_eq!(bits(&again, &row), bits(&model, &row), "{name}");
        assert_eq!(TextClassifier::labels_of(&config).unwrap().is_some(), name == "bert_sequence", "{name}");
    }
}

#[test]
fn what_is_no_classifier_is_told_from_what_is() {
    let (_, case) = &cases("causal.json")[0];
    let open =
        |config: &str, state| TextClassifier::from_state(config, state, Held::AsF32, &Device::Cpu).err();
    let (config, state) = (case["config"].to_string(), weights(&case["shapes"]));
    let error = open(&config, state.clone()).unwrap().to_string();
    assert!(error.contains("no classifier") && error.contains("--task classify"), "{error}");
    let model = with_head(&config, state, 1);
    let error = causal_model(&model.config_json(), model.state(), &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("ForSequenceClassification") && error.contains("warpsmith classify"), "{error}");
    let error = open(&model.config_json().replace("\"2\": \"yes\"", "\"7\": \"yes\""), model.state());
    assert!(error.unwrap().to_string().contains("id2label"));
    // transformers gives each label a probability of its own, or none.
    for problem in ["multi_label_classification", "regression"] {
        let config = model.config_json().replace("single_label_classification", problem);
        let error = open(&config, model.state()).unwrap().to_string();
        assert!(error.contains(&format!("problem_type is {problem}")), "{error}");
    }
    let mut one: serde_json::Value = serde_json::from_str(&model.config_json()).unwrap();
    one["id2label"] = serde_json::json!({ "0": "score" });
    let error = open(&one.to_string(), model.state()).unwrap().to_string();
    assert!(error.contains("one label is a score"), "{error}");
    let mut state = model.state();
    state.remove("score.weight");
    assert!(open(&model.config_json(), state).unwrap().to_string().contains("missing: [score.weight]"));
}
