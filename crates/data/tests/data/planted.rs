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

/// `count` misspelled words of four kinds, each with the word that was meant.
fn slips<'w>(words: &[&'w str], count: u64) -> Vec<(String, &'w str)> {
    let slip = |i: u64| {
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
        (wrong, word)
    };
    (0..count).map(slip).filter(|(wrong, word)| wrong != word).collect()
}

/// Words that are one edit from a frequent one, and right. Of so few words nobody can learn that they are, but from a lexicon.
const NEIGHBOURS: &str = "women plane horse poker print stage sturdy paint mouth wader stare statue";

#[test]
fn planted_typos_are_repaired_and_right_words_left() {
    let words: Vec<&str> = ENGLISH.split_whitespace().filter(|word| word.len() >= 5).collect();
    // Right copies of each word, slips over all words, and what is asked of precision and recall.
    for (copies, count, bars) in [(100, 300, (1.0, 0.9)), (10, 40, (0.9, 0.6)), (5, 30, (0.9, 0.6))] {
        let mut texts: Vec<String> = (0..copies).map(|_| words.join(" ")).collect();
        let planted = slips(&words, count);
        texts.extend(planted.iter().map(|(wrong, _)| format!("the {wrong} of")));
        // Rare and right: some like no other word, and some like one.
        let letters = |i: u8| (char::from(b'a' + i % 26), char::from(b'a' + i / 26));
        let rare = (0..250).map(letters).map(|(a, b)| format!("zy{a}xv{b}ut"));
        texts.push(rare.collect::<Vec<_>>().join(" "));
        texts.push(NEIGHBOURS.into());
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let lexicon = NEIGHBOURS.split(' ').map(String::from).collect();
        let repaired = Repair { lexicon, ..Repair::default() }.texts(&borrowed);
        let of_slips = copies..copies + planted.len();
        let (mut right, mut wrong) = (0, 0);
        for ((text, _), (slip, word)) in repaired[of_slips.clone()].iter().zip(&planted) {
            let got = text.split(' ').nth(1).expect("the word");
            right += usize::from(got == *word);
            wrong += usize::from(got != *word && got != slip);
        }
        let others = repaired[..of_slips.start].iter().chain(&repaired[of_slips.end..]);
        let false_hits: usize = others.map(|(_, count)| count).sum();
        let precision = right as f64 / (right + wrong + false_hits) as f64;
        let recall = right as f64 / planted.len() as f64;
        println!("{copies} to 1: precision {precision:.4}, recall {recall:.4} of {}", planted.len());
        assert!(precision >= bars.0 && recall > bars.1, "{copies}: precision {precision}, recall {recall}");
    }
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
