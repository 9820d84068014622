//! Bad input: one line that names the file, the line, and what to do.

use std::path::Path;

use warpsmith_data::bag::StopWords;
use warpsmith_data::prepare::{Output, Preparation};
use warpsmith_data::read::{Broken, ReadOptions, Unit, columns, parallel};

use crate::{Place, Plain};

fn why(job: &Preparation) -> String {
    let error = job.run(&Plain::default()).expect_err("bad input");
    let message = error.to_string();
    assert_eq!(format!("{error:?}"), message, "what `main` prints of it");
    assert!(!message.contains('\n'), "{message}");
    assert!(!job.out.exists(), "nothing may be written for bad input");
    message
}

#[test]
fn files_that_are_not_what_they_should_be() {
    for (name, bytes, expected) in [
        ("a.txt", &b""[..], "a.txt: is empty: give a file with at least one document"),
        ("a.txt", b"a\0b", "a.txt: looks binary: NUL byte at offset 1; give text"),
        (
            "a.txt",
            b"ok\ncaf\xE9 au lait\n",
            "a.txt, line 2: 1 bytes that are no UTF-8: let `data prepare` read it, by its --encoding",
        ),
        (
            "a.jsonl",
            b"{\"text\": \"x\"}\n{\"text\": \n",
            "a.jsonl, line 2: not a JSON object (EOF while parsing a value at column 9)",
        ),
        ("a.jsonl", b"[1]\n", "a.jsonl, line 1: not a JSON object"),
        (
            "a.jsonl",
            b"{\"body\": \"x\", \"id\": 1}\n",
            "a.jsonl, line 1: no field `text`: there are body, id; name the right one by --text",
        ),
        ("a.jsonl", b"{\"text\": [1]}\n", "a.jsonl, line 1: field `text` holds a list: expected text"),
        (
            "a.jsonl",
            b"{\"text\": \"x\"}\n{\"text\": \"\"}\n",
            "a.jsonl, line 2: the document is empty: remove it, or choose --empty drop",
        ),
        ("a.csv", b"text,label\nx,1\ny,1,z\n", "a.csv, line 3: 3 fields where the first row has 2"),
        (
            "a.csv",
            b"text,label\nx,1\n\"two\nlines\",2\ny\n",
            "a.csv, line 5: 1 fields where the first row has 2",
        ),
        (
            "a.csv",
            b"body,label\nx,1\n",
            "a.csv, line 1: no column `text`: there are body, label; name the right one by --text",
        ),
        ("a.tsv", b"text\tlabel\nit's \"quoted\t1\nx\n", "a.tsv, line 3: 1 fields where the first row has 2"),
        ("a.tsv", b"text\tlabel\n", "a.tsv: no documents"),
        ("a.csv", b"text,label,text\nx,1,y\n", "a.csv, line 1: two columns are called `text`"),
        ("a.txt", b"one document", "a.txt: 1 documents leave none for val"),
    ] {
        let place = Place::new();
        let message = why(&place.job(name, bytes));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_list_of_names_that_the_rows_do_not_fit_is_the_one_to_blame() {
    for (names, expected) in [
        (&["text", "label", "date"][..], "a.csv, line 1: 2 fields, and --columns has 3 names"),
        (&["text"], "a.csv, line 1: 2 fields, and --columns has 1 names"),
        (&["text", "text"], "a.csv, line 1: two columns are called `text`"),
        (&["text", "label"], "a.csv, line 3: 3 fields where the first row has 2"),
    ] {
        let place = Place::new();
        let mut job = place.job("a.csv", "x,1\ny,2\nz,3,4\n");
        job.read.columns = Some(names.iter().map(|name| name.to_string()).collect());
        let message = why(&job);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn many_inputs_are_named_by_the_first_few() {
    let place = Place::new();
    let inputs = (0..5).map(|i| place.write(&format!("{i}.jsonl"), "{\"text\": \" \"}\n")).collect();
    let message = why(&Preparation::new(inputs, place.path("out")));
    assert!(message.ends_with("2.jsonl and 2 more: no document is left after cleaning"), "{message}");
}

#[test]
fn rows_and_documents_without_end_are_refused() {
    let (long, short) = ("长".repeat(100_000), "长\n".repeat(100_000));
    for (name, start, text, unit) in [
        ("a.jsonl", "{\"text\": \"", &long, Unit::File),
        ("a.csv", "text\n\"", &long, Unit::File),
        ("a.tsv", "text\n", &long, Unit::File),
        ("a.txt", "", &long, Unit::File),
        ("a.txt", "", &short, Unit::File),
        ("a.txt", "", &long, Unit::Line),
        ("a.txt", "", &short, Unit::Paragraph),
    ] {
        let place = Place::new();
        let mut job = place.job(name, format!("{start}{text}"));
        (job.read.max_bytes, job.read.unit) = (100_000, unit);
        let message = why(&job);
        assert!(message.contains(name) && message.contains("longer than 100000 bytes"), "{message}");
    }
}

#[test]
fn missing_and_empty_inputs() {
    let place = Place::new();
    let job = |input: &str| Preparation::new(vec![place.path(input)], place.path("out"));
    assert!(why(&job("nothing")).ends_with("nothing: no such file or folder; check the path"));
    place.write("folder/.hidden", "x");
    place.write("folder/image", b"\x89PNG\0");
    place.write("folder/empty", "");
    assert!(why(&job("folder")).contains("(1 binary, 1 hidden and 1 empty entries passed over)"));
}

#[test]
fn data_that_cannot_be_learned_from() {
    let place = Place::new();
    let one = place.job("one.csv", (0..30).map(|i| format!("text {i},pos\n")).collect::<String>());
    let mut one = Preparation { output: Output::Jsonl, ..one };
    one.read = ReadOptions {
        columns: Some(vec!["text".into(), "label".into()]),
        label: Some("label".into()),
        ..one.read
    };
    let message = why(&one);
    assert!(
        message
            .ends_with("one.csv: all 30 documents are of class `pos`: give documents of another class too"),
        "{message}"
    );

    let place = Place::new();
    let mut two = place.job("two.csv", "text,label\nsame,a\nother,b\nsame,b\n");
    two.read.label = Some("label".into());
    assert!(why(&two).contains("two.csv: the text `same` has two classes, a (line 2) and b (line 4)"));

    let place = Place::new();
    let words = Preparation { stop_words: Some(StopWords::english()), ..place.job("a.txt", "x") };
    assert!(
        why(&words)
            .starts_with("stop words are left out of bags of words, and a language model needs every word")
    );
    let blank = place.job("b.jsonl", "{\"text\": \" \\u200b \"}\n");
    assert!(why(&blank).ends_with("b.jsonl: no document is left after cleaning"));
    let mut plain = place.job("c.txt", "x");
    plain.read.label = Some("label".into());
    assert!(why(&plain).contains("c.txt: plain text has no labels"));
}

#[test]
fn mixed_encodings_are_named_or_mended_and_counted() {
    let place = Place::new();
    let mixed = [
        b"{\"text\": \"utf-8 ".as_slice(),
        "中文".as_bytes(),
        b"\"}\n{\"text\": \"gbk \xD6\xD0\xCE\xC4\"}\n",
    ]
    .concat();
    let job = |broken| {
        let mut job = place.job("mixed.jsonl", &mixed);
        job.read.broken = broken;
        job.output = Output::Jsonl;
        job.shares = warpsmith_data::split::Shares([1.0, 0.0, 0.0]);
        job
    };
    assert!(why(&job(Broken::Refuse)).contains("mixed.jsonl, line 2: 1 bytes that are no UTF-8"));
    let (manifest, _) = job(Broken::Replace).run(&Plain::default()).unwrap();
    assert_eq!(manifest.steps[1].changed, 4);
    let text = std::fs::read_to_string(place.path("out/train.jsonl")).unwrap();
    assert!(text.contains("utf-8 中文") && text.contains("gbk \u{FFFD}"));
}

#[test]
fn parallel_text_has_as_many_lines_on_both_sides() {
    let place = Place::new();
    let (en, zh) = (place.write("a.en", "one\ntwo\nthree\n"), place.write("a.zh", "一\n二\n"));
    let message = parallel::pairs(&en, &zh, 1000).unwrap_err().to_string();
    assert!(message.contains("a.en, line 3: no partner for it"), "{message}");
    assert!(message.contains("a.zh has 2 lines, this file has 3"), "{message}");
    place.write("a.zh", "一\n二\n三");
    assert_eq!(parallel::pairs(&en, &zh, 1000).unwrap()[2], ("three".into(), "三".into()));
}

#[test]
fn columns_are_found_by_name() {
    let place = Place::new();
    let glue = place.write("dev.tsv", "index\tsentence\tlabel\n0\tit 's \"fine\t1\n1\t不好\t0\n");
    let labels = columns::column(&glue, "label", 1000).unwrap();
    assert_eq!(labels, [(2, "1".to_string()), (3, "0".to_string())]);
    assert_eq!(columns::column(&glue, "sentence", 1000).unwrap()[0].1, "it 's \"fine");
    assert!(
        columns::column(&glue, "gold", 1000)
            .unwrap_err()
            .to_string()
            .contains("there are index, sentence, label")
    );
    assert!(columns::lines(Path::new("no/such/file"), 10).is_err());
    let lines = place.write("said.jsonl", "{\"label\": \"好\", \"p\": 0.5}\n\n{\"label\": 1, \"p\": 1}\n");
    assert_eq!(
        columns::column(&lines, "label", 1000).unwrap(),
        [(1, "好".to_string()), (3, "1".to_string())]
    );
    let message = columns::column(&lines, "gold", 1000).unwrap_err().to_string();
    assert!(message.contains("said.jsonl, line 1: no field `gold`: there are label, p"), "{message}");
}
