use tempfile::TempDir;

use super::*;

const SPACE_TEXT: &str =
    "learning_rate = { min = 1e-4, max = 1e-1, log = true }\nn_layer = { min = 1, max = 4 }\n";

fn space(text: &str) -> SearchSpace {
    SearchSpace::parse(text, Path::new("s.toml")).unwrap()
}

fn plan() -> Plan {
    Plan { sampler: "tpe".into(), seed: 7, tokens: None, folds: 0 }
}

fn measured(val_loss: f64) -> Measured {
    let (steps, tokens) = (1, 64);
    Measured {
        val_loss,
        sd: None,
        val_losses: vec![val_loss],
        bits_per_byte: Some(val_loss / 2.0),
        parameters: 3,
        steps,
        tokens,
        seconds: 0.1,
    }
}

/// What a point comes to here; some come to nothing.
fn outcome(trial: usize, point: &[Value]) -> Result<Measured, String> {
    let (rate, layers) = (point[0].real().unwrap(), point[1].real().unwrap());
    match trial % 5 {
        3 => Err("diverged".into()),
        _ => Ok(measured((rate.log10() + 2.0).powi(2) + (layers - 3.0).abs() + 0.1)),
    }
}

fn go_on(study: &mut Study, until: usize) {
    while study.records().len() < until {
        let (trial, point) = study.next().unwrap();
        study.record(&point, outcome(trial, &point)).unwrap();
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("study");
    (folder, dir)
}

fn refusal(dir: &Path, text: &str, plan: Plan) -> String {
    Study::resume(dir, space(text), plan).map(drop).expect_err("resumed").to_string()
}

#[test]
fn a_study_that_was_broken_off_makes_the_trials_it_would_have_made() {
    let (_folder, whole) = place();
    let mut study = Study::begin(&whole, space(SPACE_TEXT), plan()).unwrap();
    go_on(&mut study, 25);
    let (_other, parts) = place();
    for until in [0, 4, 12, 13, 25] {
        let mut part = match until {
            0 => Study::begin(&parts, space(SPACE_TEXT), plan()).unwrap(),
            _ => Study::resume(&parts, space(SPACE_TEXT), plan()).unwrap(),
        };
        go_on(&mut part, until);
        // Killed within a trial: its folder is there, its record is not.
        std::fs::create_dir_all(part.trial_dir(until)).unwrap();
    }
    let part = Study::resume(&parts, space(SPACE_TEXT), plan()).unwrap();
    assert_eq!(part.records(), study.records());
    assert!(study.records()[12..].iter().any(|record| record.settings != study.records()[0].settings));
    assert_eq!(study.records().iter().filter(|record| record.problem.is_some()).count(), 5);
}

#[test]
fn the_best_configuration_is_that_of_the_least_loss() {
    let (_folder, dir) = place();
    let mut study = Study::begin(&dir, space(SPACE_TEXT), plan()).unwrap();
    assert!(study.best().is_none() && !study.best_config().exists());
    go_on(&mut study, 12);
    let best = study.best().unwrap();
    assert!(
        study
            .records()
            .iter()
            .all(|other| other.val_loss().is_none_or(|loss| loss >= best.val_loss().unwrap()))
    );
    let mut config = TrainConfig::default();
    config.read_file(&study.best_config()).unwrap();
    assert_eq!(Some(config.n_layer as u64), best.settings["n_layer"].as_u64());
    assert_eq!(Some(config.learning_rate), best.settings["learning_rate"].as_f64());
    assert_eq!(config.out_dir, dir.join("best").display().to_string());
}

#[test]
fn another_space_or_another_way_is_refused() {
    let (_folder, dir) = place();
    go_on(&mut Study::begin(&dir, space(SPACE_TEXT), plan()).unwrap(), 3);
    let again = Study::begin(&dir, space(SPACE_TEXT), plan()).map(drop).unwrap_err().to_string();
    assert!(again.contains("holds a study: --resume goes on"), "{again}");
    let other = refusal(&dir, &SPACE_TEXT.replace("max = 4", "max = 5"), plan());
    assert!(other.contains("space.toml, line 2: the study has `n_layer = { min = 1, max = 4 }`"), "{other}");
    let fixed = refusal(&dir, &format!("{SPACE_TEXT}n_head = 2\n"), plan());
    assert!(fixed.contains("the study has `n_head = 6`, the space now `n_head = 2`"), "{fixed}");
    let seeded = refusal(&dir, SPACE_TEXT, Plan { seed: 8, ..plan() });
    assert!(seeded.contains("study.json, line 1: the study has seed 7, not 8"), "{seeded}");
    assert!(
        refusal(&dir, SPACE_TEXT, Plan { sampler: "random".into(), ..plan() })
            .contains("sampler tpe, not random")
    );
    assert!(refusal(&dir, SPACE_TEXT, Plan { folds: 3, ..plan() }).contains("folds 0, not 3"));
}

#[test]
fn a_half_written_study_is_refused_by_file_and_line() {
    let (_folder, dir) = place();
    assert!(refusal(&dir, SPACE_TEXT, plan()).contains("there is no study to go on with"));
    go_on(&mut Study::begin(&dir, space(SPACE_TEXT), plan()).unwrap(), 3);
    let record = dir.join("trial-0001/trial.json");
    let text = std::fs::read_to_string(&record).unwrap();
    for (damaged, mention) in [
        (&text[..text.len() / 2], "damaged"),
        ("", "line 1"),
        (&text.replace("\"n_layer\"", "\"n_layers\""), "its settings are no point of the space"),
        (&text.replace("\"trial\": 1", "\"trial\": 2"), "is the record of trial 2"),
    ] {
        std::fs::write(&record, damaged).unwrap();
        let told = refusal(&dir, SPACE_TEXT, plan());
        assert!(told.contains("trial.json, line ") && told.contains(mention), "{told}");
    }
    // Cut after its third line: named by it.
    let cut: String = text.lines().take(3).collect::<Vec<_>>().join("\n");
    std::fs::write(&record, cut).unwrap();
    assert!(refusal(&dir, SPACE_TEXT, plan()).contains("trial.json, line 3: "));
    std::fs::remove_file(&record).unwrap();
    assert!(refusal(&dir, SPACE_TEXT, plan()).contains("is missing, and trial 2 is there"));
    std::fs::remove_file(dir.join("study.json")).unwrap();
    assert!(refusal(&dir, SPACE_TEXT, plan()).contains("the study was not begun to its end"));
}

#[test]
fn what_cannot_be_searched_fairly_is_refused_before_a_folder_is_made() {
    let (_folder, dir) = place();
    let begin =
        |text: &str, plan: Plan| Study::begin(&dir, space(text), plan).map(drop).unwrap_err().to_string();
    let sizes = begin("batch_size = [4, 8]\n", plan());
    assert!(sizes.contains("with batch_size searched") && sizes.contains("--tokens N"), "{sizes}");
    assert!(begin(SPACE_TEXT, Plan { sampler: "grid".into(), ..plan() }).contains("write points = N"));
    assert!(begin(SPACE_TEXT, Plan { folds: 1, ..plan() }).contains("k must be at least 2"));
    assert!(!dir.exists());
    let tokens = Plan { tokens: Some(1000), ..plan() };
    assert!(Study::begin(&dir, space("batch_size = [4, 8]\n"), tokens).is_ok());
}
