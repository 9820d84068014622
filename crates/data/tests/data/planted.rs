//! A thousand documents, of which 500 are clean and 500 have one fault each: every fault is found, and nothing else.

use std::collections::BTreeSet;

use warpsmith_data::prepare::Output;
use warpsmith_data::read::{Broken, Document, ReadOptions};
use warpsmith_data::typos::Repair;
use warpsmith_text::Draws;

use crate::{Place, Plain};

const ENGLISH: &str = "time year people way day man thing woman life child world school state family student group country problem \
    hand part place case week company system program question work government number night point home water room mother area \
    money story fact month lot right study book eye job word business issue side kind head house service friend father power";
const CHINESE: &str = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜金生丽水玉出昆冈剑号巨阙珠称夜光\
    果珍李柰菜重芥姜海咸河淡鳞潜羽翔龙师火帝鸟官人皇始制文字乃服衣裳推位让国有虞陶唐";

/// A document that no other number resembles; every second one is Chinese. What looks like a fault and is none comes in too.
fn clean(number: u64) -> String {
    let draws = Draws::new(99).child(number);
    let odd = [
        "if a < b && c > d {",
        "AT&T & Co.",
        "Vec<u8>",
        "mail <ann@example.org>",
        "1 < 2; 3 > 2",
        "👨\u{200D}👩\u{200D}👧",
        "“引号”——《书》…",
        "ＡＢＣ１２３，！",
    ];
    let odd = odd[number as usize % odd.len()];
    if number.is_multiple_of(2) {
        let words: Vec<&str> = ENGLISH.split_whitespace().collect();
        let picked = (0..60).map(|i| words[draws.below(i, words.len() as u64) as usize]);
        format!("Document {number}. {}\n\n    {odd} end.", picked.collect::<Vec<_>>().join(" "))
    } else {
        let characters: Vec<char> = CHINESE.chars().filter(|c| !c.is_whitespace()).collect();
        let picked: String =
            (0..90).map(|i| characters[draws.below(i, characters.len() as u64) as usize]).collect();
        format!("第{number}篇：{picked}。\n　　{odd}")
    }
}

/// Documents with a fault: HTML, invisible characters, not composed, untidy white space, broken bytes.
fn faults() -> [fn(u64) -> Vec<u8>; 5] {
    [
        |n| format!("<div class=\"a > b\">{}</div><!-- x -->", plain(n)).into_bytes(),
        |n| {
            let spaced = plain(n).replacen(' ', " \u{200B}\u{FEFF}\x1B", 1);
            spaced.replacen('：', "：\u{200B}", 1).into_bytes()
        },
        |n| format!("{} cafe\u{301} \u{F900}", plain(n)).into_bytes(),
        |n| format!("\r\n{} \u{A0}\r\n\n\n\nend  ", plain(n)).into_bytes(),
        |n| [plain(n).as_bytes(), b" \xD6 \xFF end"].concat(),
    ]
}

/// One that HTML does not hide in.
fn plain(number: u64) -> String {
    clean(number).replace(['<', '>', '&'], "")
}

#[test]
fn every_planted_fault_is_found_and_no_other() {
    let place = Place::new();
    let mut expected = BTreeSet::new();
    for number in 0..500 {
        place.write(&format!("in/clean{number:04}.txt"), clean(number));
        expected.insert(clean(number));
    }
    // 60 of each fault, 100 exact and 100 near copies.
    for (kind, make) in faults().into_iter().enumerate() {
        for i in 0..60 {
            let number = 1000 + 100 * kind as u64 + i;
            place.write(&format!("in/fault{number}.txt"), make(number));
        }
    }
    for number in 0..100 {
        place.write(&format!("in/fault-copy{number}.txt"), clean(number));
        let near = format!("{} x", clean(200 + number));
        place.write(&format!("in/fault-near{number}.txt"), near);
    }
    let mut job = warpsmith_data::prepare::Preparation::new(vec![place.path("in")], place.path("out"));
    job.read = ReadOptions { broken: Broken::Remove, ..ReadOptions::default() };
    job.output = Output::Jsonl;
    let (manifest, _) = job.run(&Plain::default()).expect("it can be prepared");
    let step = |name: &str| {
        let step = manifest.steps.iter().find(|step| step.step.starts_with(name)).expect("the step");
        (step.before, step.after, step.changed)
    };
    assert_eq!(manifest.inputs.len(), 1000);
    assert_eq!(step("decode"), (1000, 1000, 120), "two sequences in each of 60");
    assert_eq!(step("HTML"), (1000, 1000, 60));
    assert_eq!(step("invisible"), (1000, 1000, 60));
    assert_eq!(step("Unicode"), (1000, 1000, 60));
    assert_eq!(step("white"), (1000, 1000, 60));
    assert_eq!(step("exact"), (1000, 900, 0));
    assert_eq!(step("near"), (900, 800, 0));

    let mut found = BTreeSet::new();
    for part in ["train", "val"] {
        let text =
            std::fs::read_to_string(place.path("out").join(format!("{part}.jsonl"))).expect("the part");
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert!(
                found.insert(line["text"].as_str().expect("a text").to_string()),
                "{line} is in two places"
            );
        }
    }
    assert_eq!(found.len(), 800);
    assert!(expected.is_subset(&found), "a clean document was changed");
    let left = ['\u{200B}', '\x1B', '\r', '\u{A0}', '\u{301}', '\u{F900}', '\u{FFFD}'];
    assert!(
        found.iter().all(|text| !text.contains(left) && !text.contains("<div") && !text.contains("<!--"))
    );
}

#[test]
fn planted_typos_are_repaired_and_right_words_left() {
    // Each word stands a hundred times in right spelling; 300 typos of five kinds are planted, and 300 rare right words.
    let words: Vec<&str> = ENGLISH.split_whitespace().filter(|word| word.len() >= 5).collect();
    let mut texts: Vec<String> = (0..100).map(|_| words.join(" ")).collect();
    let mut planted = Vec::new();
    for i in 0..300 {
        let draws = Draws::new(5).child(i);
        let word = words[draws.below(0, words.len() as u64) as usize];
        let at = 1 + draws.below(1, word.len() as u64 - 3) as usize;
        let (head, tail) = word.split_at(at);
        let wrong = match i % 4 {
            0 => format!("{head}{}", &tail[1..]),
            1 => format!("{head}q{tail}"),
            2 => format!("{head}q{}", &tail[1..]),
            _ => format!("{head}{}{}{}", &tail[1..2], &tail[..1], &tail[2..]),
        };
        texts.push(format!("the {wrong} of"));
        planted.push((wrong, word));
    }
    let rare: Vec<String> =
        (0..300).map(|i| format!("zyx{}vut", char::from(b'a' + (i % 26) as u8))).collect();
    texts.push(rare.join(" "));
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let repaired = Repair::default().texts(&borrowed);
    let (mut right, mut wrong) = (0, 0);
    for ((text, _), (typo, word)) in repaired[100..400].iter().zip(&planted) {
        let got = text.split(' ').nth(1).expect("the word");
        right += usize::from(got == *word && typo != word);
        wrong += usize::from(got != *word && got != typo);
    }
    let typos = planted.iter().filter(|(typo, word)| typo != word).count();
    let false_hits: usize = repaired[..100].iter().chain(&repaired[400..]).map(|(_, count)| count).sum();
    let (precision, recall) =
        (right as f64 / (right + wrong + false_hits) as f64, right as f64 / typos as f64);
    println!("precision {precision:.4}, recall {recall:.4} of {typos}");
    assert!(precision == 1.0 && recall > 0.9, "precision {precision}, recall {recall}");
}

#[test]
fn documents_know_where_they_stood() {
    let place = Place::new();
    let path = place.write("a.jsonl", "{\"text\": \"一\"}\n\n{\"text\": \"二\"}\n");
    let reading =
        warpsmith_data::read::read(&[path], &ReadOptions::default(), &Plain::default()).expect("it reads");
    let document = |text: &str, line| Document { text: text.into(), label: None, file: 0, line };
    assert_eq!(reading.documents, [document("一", 1), document("二", 3)]);
}
