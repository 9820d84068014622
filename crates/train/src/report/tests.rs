use super::*;

/// A run of 2000 steps as the main job logs it, with loss, norm and speed that wobble by a fixed rule.
fn run() -> Report {
    let mut records = Vec::new();
    for step in (0..=2000usize).step_by(10) {
        let wobble = ((step / 10 * 7919) % 101) as f64 / 101.0 - 0.5;
        let loss = 1.75 + 2.45 * (-(step as f64) / 260.0).exp();
        let evaluated = step % 250 == 0;
        records.push(Record {
            step,
            train_loss: Some(loss + 0.16 * wobble),
            val_loss: evaluated.then_some(loss + 0.09),
            val_bpb: evaluated.then_some((loss + 0.09) / std::f64::consts::LN_2),
            lr: Some(crate::schedule::LearningRate::new(&crate::TrainConfig::quick()).at(step)),
            grad_norm: Some(0.45 + 2.5 * (-(step as f64) / 90.0).exp() + 0.2 * wobble.abs()),
            ms: Some(12.3),
            tok_per_sec: Some(62_000.0 + 3000.0 * wobble),
            mfu: None,
            tokens: Some(step as f64 * 768.0),
            time: Some(step as f64 * 0.0125),
            ..Record::default()
        });
    }
    let mut parameters =
        vec![("wte.weight".to_string(), vec![96, 128]), ("wpe.weight".to_string(), vec![64, 128])];
    for block in 0..4 {
        for (name, shape) in [
            ("ln_1.weight", vec![128]),
            ("attn.c_attn.weight", vec![128, 384]),
            ("attn.c_proj.weight", vec![128, 128]),
            ("ln_2.weight", vec![128]),
            ("mlp.c_fc.weight", vec![128, 512]),
            ("mlp.c_proj.weight", vec![512, 128]),
        ] {
            parameters.push((format!("blocks.{block}.{name}"), shape));
        }
    }
    let sample = |title: &str, text: &str| Sample { title: title.into(), text: text.into() };
    Report {
        title: "A GPT on this repository's own text".into(),
        config_toml: crate::TrainConfig::quick().to_toml(),
        records,
        samples: vec![
            sample("Before training", "\nq{Zk;;)9 Lw\u{fffd}xR(v<T>0Vd&&_p\n~W^uK c:e7#Qa}j!nB"),
            sample(
                "After 2,000 steps",
                "pub fn read(path: &Path) -> Result<Vec<Shape>> {\n    let mut of = self.shape();\n    if the & tensor < 1 {\n        return Err(Error::shape(\"softmax\"));\n    }\n}",
            ),
        ],
        parameters,
        unigram_nats: Some(3.347),
        bytes_per_token: Some(1.02),
        facts: vec![
            ("Data".into(), "embedded corpus, 1.2 MB, char tokenizer of 96 tokens".into()),
            ("Device".into(), "CPU, AVX-512, 2 threads".into()),
        ],
    }
}

/// Names of the elements in order of their ends; panics on a tag that is left open or closed out of turn.
fn assert_balanced(html: &str) {
    let void = ["meta", "!doctype"];
    let mut open = Vec::new();
    for piece in html.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("each tag ends");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "in …<{}", &piece[..piece.len().min(60)]);
        } else if !tag.ends_with('/') && !void.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn the_page_is_well_formed_and_loads_nothing() {
    let html = render(&run());
    assert_balanced(&html);
    for forbidden in ["<script", "http:", "https:", "src=", "href=", "url(", "@import", "NaN", "inf"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert!(html.len() < 100_000, "{} bytes", html.len());
    assert_eq!(html, render(&run()));
}

#[test]
fn every_part_is_there() {
    let html = render(&run());
    for part in [
        "<h1>A GPT on this repository&#39;s own text</h1>",
        "A model of 808 k parameters read 1.54 M tokens in 25 s.",
        "<h3>Loss</h3>",
        "<h3>Learning rate</h3>",
        "<h3>Gradient norm</h3>",
        "<h3>Speed</h3>",
        "unigram entropy 3.347",
        "Before training",
        "if the &amp; tensor &lt; 1 {",
        "<code>blocks.3.mlp.c_proj.weight</code></td><td><code>(512, 128)</code></td><td class=\"number\">65,536</td>",
        "n_layer = 4",
        "prefers-color-scheme: dark",
        "<dt>Device</dt><dd>CPU, AVX-512, 2 threads</dd>",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn best_and_final_loss_are_told_apart() {
    let record = |step, loss| Record { step, val_loss: Some(loss), ..Record::default() };
    let records = vec![record(0, 4.0), record(100, 1.5), record(200, 1.75), record(300, f64::NAN)];
    let report = Report { records, unigram_nats: Some(3.0), bytes_per_token: Some(2.0), ..Report::default() };
    let html = render(&report);
    assert!(html.contains(
        "<dt>Best validation loss</dt><dd>1.500</dd><dd class=\"note\">nats per token, at step 100</dd>"
    ));
    assert!(html.contains(
        "<dt>Final validation loss</dt><dd>1.750</dd><dd class=\"note\">nats per token, at step 200</dd>"
    ));
    assert!(html.contains("Its best validation loss is 1.500 nats per token, 1.500 below the 3.000 that"));
    // 1.75 nats per token / ln 2 / 2 bytes per token.
    assert!(html.contains("<dt>Bits per byte</dt><dd>1.262</dd>"));
}

#[test]
fn an_empty_report_is_a_page_still() {
    let html = render(&Report::default());
    assert_balanced(&html);
    assert!(html.contains("A model was trained."));
    assert!(!html.contains("<figure") && !html.contains("<table") && !html.contains("<h2>"));
}

#[test]
fn hostile_text_stays_text() {
    let attack = "</pre><script>alert(1)</script><!--\"'>&\0";
    let report = Report {
        title: attack.into(),
        config_toml: attack.into(),
        samples: vec![Sample { title: attack.into(), text: attack.into() }],
        parameters: vec![(attack.into(), vec![usize::MAX, usize::MAX])],
        facts: vec![(attack.into(), attack.into())],
        ..Report::default()
    };
    let html = render(&report);
    assert_balanced(&html);
    assert!(!html.contains("<script") && !html.contains("<!--") && !html.contains('\0'));
    assert_eq!(html.matches("&lt;script&gt;").count(), 8);
}

#[test]
fn a_diverged_run_is_drawn_as_far_as_it_goes() {
    let loss = |step| if step < 5 { 4.0 - step as f64 } else { f64::NAN };
    let records = (0..10).map(|step| Record {
        step,
        train_loss: Some(loss(step)),
        grad_norm: Some(f64::NAN),
        ..Record::default()
    });
    let html = render(&Report { records: records.collect(), ..Report::default() });
    assert_balanced(&html);
    assert!(
        html.contains("<h3>Loss</h3>") && !html.contains("<h3>Gradient norm</h3>") && !html.contains("NaN")
    );
}

#[test]
fn scalars_and_empty_tensors_are_counted() {
    assert_eq!([tables::count(&[]), tables::count(&[0, 3]), tables::count(&[2, 3])], [1, 0, 6]);
    let html = render(&Report { parameters: vec![("empty".into(), vec![0])], ..Report::default() });
    assert!(html.contains("<code>(0)</code>") && html.contains("0.0 %"));
}
