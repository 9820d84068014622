//! `warpsmith kernel`: kernels in the emulator, counted, traced and stopped at a line.

use serde_json::Value;

use super::{Place, refused, stderr, stdout, succeeded};
use crate::Checked;

fn report(place: &Place, words: &[&str]) -> Result<Value, Box<dyn std::error::Error>> {
    let words = [&["kernel", "run"], words, &["--json"]].concat();
    Ok(serde_json::from_str(&succeeded(&place.run(&words)))?)
}

/// Families that ask for more bytes than their op's formula, which counts each tensor once: norms read the weight for each
/// row, and their backward pass reads g and x twice; all threads of a row read its target and its statistics; attention
/// reads keys once per tile of queries, and the gradient of a table sorts its indices first. What each of them reads is
/// held to its header, to the byte, by the tests of the kernels.
const READ_MORE: [&str; 9] = [
    "layer_norm",
    "layer_norm_backward",
    "rms_norm",
    "rms_norm_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "attention_backward",
    "embedding",
    "embedding_backward",
];
/// Those that write sums of parts, statistics or keys besides their results.
const WRITE_MORE: [&str; 6] = [
    "layer_norm_backward",
    "rms_norm_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "attention_backward",
    "embedding_backward",
];

#[test]
fn every_family_holds_and_moves_what_its_op_says() -> Checked {
    let place = Place::new();
    let list: Value = serde_json::from_str(&succeeded(&place.run(&["kernel", "list", "--json"])))?;
    let families = list.as_array().ok_or("a list")?;
    assert!(families.len() >= 50, "{}", families.len());
    for family in families {
        let name = family["name"].as_str().ok_or("a name")?;
        let dtype = family["dtypes"][0].as_str().ok_or("a dtype")?;
        let run = report(&place, &[name, "--dtype", dtype])?;
        assert_eq!(run["holds"], true, "{name}");
        let (total, cost) = (&run["total"], &run["cost"]);
        let pairs = [
            ("global_read_bytes", "read", READ_MORE.contains(&name)),
            ("global_write_bytes", "written", WRITE_MORE.contains(&name)),
        ];
        for (counted, formula, may_be_more) in pairs {
            let (counted, formula) = (total[counted].as_u64(), cost[formula]["value"].as_u64());
            assert_eq!(counted > formula, may_be_more, "{name}: {counted:?} for {formula:?}");
            assert!(counted >= formula, "{name}: {counted:?} for {formula:?}");
        }
        if name.starts_with("matmul") {
            assert_eq!(total["matrix_flops"], cost["flops"]["value"], "{name}");
        }
    }
    Ok(())
}

#[test]
fn a_trace_names_the_lines_and_the_values_of_one_thread() -> Checked {
    let place = Place::new();
    let run = report(&place, &["add_fwd_f32", "--shape", "1,64", "--trace", "0,3"])?;
    let steps = run["launches"][0]["trace"].as_array().ok_or("a trace")?;
    // Four neighbours a thread, gapless: thread 3 has elements 12 to 15, 48 bytes into each operand.
    let loads: Vec<&Value> =
        steps.iter().filter(|step| step["place"]["instruction"].to_string().contains("ld.global")).collect();
    assert_eq!(loads.len(), 2);
    for load in &loads {
        assert_eq!(
            load["place"]["source"].as_str().map(|at| at.starts_with("kernels/tile/vector.cuh:")),
            Some(true)
        );
        let line = load["place"]["source_text"].as_str();
        assert!(line.is_some_and(|line| line.contains("reinterpret_cast<const Vector<T, N>*>")), "{line:?}");
        let touched = load["touches"][0].as_str();
        assert!(
            touched.is_some_and(|text| text.starts_with("reads 16 B") && text.ends_with("30")),
            "{touched:?}"
        );
    }
    let written =
        |load: &Value, at: usize| -> Option<f64> { load["writes"][at]["value"].as_str()?.parse().ok() };
    let is_sum = |step: &&Value| step["place"]["instruction"].to_string().contains("add.f32");
    let mut sums: Vec<f64> = steps.iter().filter(is_sum).filter_map(|step| written(step, 0)).collect();
    let parts = (0..4).map(|i| Some(written(loads[0], i)? + written(loads[1], i)?));
    let mut parts = parts.collect::<Option<Vec<f64>>>().ok_or("numbers")?;
    sums.sort_by(f64::total_cmp);
    parts.sort_by(f64::total_cmp);
    assert_eq!(sums.len(), 4);
    assert!(sums.iter().zip(&parts).all(|(sum, parts)| (sum - parts).abs() < 1e-4), "{sums:?} {parts:?}");
    Ok(())
}

#[test]
fn a_stop_at_a_product_shows_its_fragments() -> Checked {
    let place = Place::new();
    let words = ["matmul_nn", "--shape", "16,8,16", "--break", "ptx/mma.cuh:20", "--arrivals", "1"];
    let run = report(&place, &words)?;
    let did = &run["launches"][0]["arrivals"][0]["ran"][0];
    let matrix = |at: usize| -> Option<Vec<Vec<f64>>> {
        let cell = |cell: &Value| cell["value"].as_str()?.parse().ok();
        let row = |row: &Value| row.as_array()?.iter().map(cell).collect();
        did["matrices"][at]["rows"].as_array()?.iter().map(row).collect()
    };
    let [a, b, c, d] = [0, 1, 2, 3].map(matrix).map(Option::unwrap_or_default);
    assert_eq!([a.len(), b.len(), c.len(), d.len()], [16, 16, 16, 16]);
    for (i, j) in (0..16).flat_map(|i| (0..8).map(move |j| (i, j))) {
        let sum: f64 = (0..16).map(|k| a[i][k] * b[k][j]).sum::<f64>() + c[i][j];
        assert!((sum - d[i][j]).abs() < 1e-4, "D[{i}][{j}]: {} for {sum}", d[i][j]);
    }
    // The text shows the same, and a page is one file that asks for no other.
    let text = succeeded(&place.run(&[&["kernel", "run"], &words[..], &["--html", "page.html"]].concat()));
    assert!(text.contains("A of m16n8k16; lane and register of each"), "{text}");
    let page = std::fs::read_to_string(place.path("page.html"))?;
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("m16n8k16"));
    assert!(
        !page.contains("http") && !page.contains("<script") && !page.contains("src="),
        "needs another file"
    );
    Ok(())
}

#[test]
fn a_stop_at_a_shared_access_shows_the_banks() -> Checked {
    let place = Place::new();
    let text = succeeded(&place.run(&["kernel", "run", "matmul_nn", "--break", "ldmatrix.cuh:20"]));
    assert!(text.contains("4 passes over the banks, 0 of them conflicts"), "{text}");
    let text = succeeded(&place.run(&["kernel", "run", "sum_columns", "--break", "columns.cuh:64"]));
    assert!(text.contains("of them conflicts"), "{text}");
    Ok(())
}

/// Layer norm's PTX without one of its barriers, counted from 1.
fn without_barrier(place: &Place, dropped: usize) {
    let ptx = succeeded(&place.run(&["kernel", "ptx", "layer_norm_fwd_f32"]));
    let mut seen = 0;
    let kept = ptx.lines().filter(|line| {
        seen += usize::from(line.contains("bar.sync"));
        !(line.contains("bar.sync") && seen == dropped)
    });
    place.write("dropped.ptx", kept.collect::<Vec<_>>().join("\n").as_bytes());
}

const DROPPED: [&str; 7] =
    ["kernel", "run", "layer_norm_fwd_f32", "--shape", "2,1024", "--ptx", "dropped.ptx"];

/// The lesson of the emulator's README: one of four barriers is not needed, and each of the others is missed.
#[test]
fn a_dropped_barrier_is_a_sentence() {
    let place = Place::new();
    for (dropped, told) in [(1, None), (2, Some("Uninitialised")), (3, Some("Race")), (4, Some("Race"))] {
        without_barrier(&place, dropped);
        let output = place.run(&DROPPED);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match told {
            None => assert!(output.status.success(), "{said}"),
            Some(kind) => assert!(said.contains(kind) && said.contains("kernels/tile/row.cuh:"), "{said}"),
        }
    }
}

/// What the lesson shows of each command is what comes; `...` is what it leaves out.
#[test]
fn the_lesson_shows_what_comes() {
    let lesson = include_str!("../../crates/emulator/README.md");
    let joined = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = Place::new();
    without_barrier(&place, 3);
    let mut commands = 0;
    for block in lesson.split("```") {
        let Some((_, last)) = block.rsplit_once("\n$ warpsmith kernel run ") else { continue };
        let (words, shown) = last.split_once('\n').unwrap_or_default();
        let output = place.run(&[&["kernel", "run"], &words.split(' ').collect::<Vec<_>>()[..]].concat());
        let told = joined(&(stdout(&output) + &stderr(&output)));
        for part in shown.split("\n  ...\n").map(joined) {
            assert!(!part.is_empty() && told.contains(&part), "{words}: {part:?} is not in {told}");
        }
        commands += 1;
    }
    assert_eq!(commands, 2);
}

/// The race is the same; who comes too early depends on whose turn it is.
#[test]
fn a_schedule_turns_the_order_of_blocks_and_warps() {
    let place = Place::new();
    without_barrier(&place, 3);
    for (order, told) in
        [("forward", "block (0,0,0) thread (32,0,0)"), ("reverse", "block (1,0,0) thread (96,0,0)")]
    {
        let said = refused(&place.run(&[&DROPPED[..], &["--schedule", order]].concat()), 1);
        assert!(said.contains("Race") && said.contains(told), "{order}: {said}");
    }
}

/// A call of `vprintf` at the start of a kernel, as nvcc writes one for `printf("row %d: %.2f\n", threadIdx.y, 8.5)`.
const PRINTING: [&str; 2] = [
    ".extern .func (.param .b32 status) vprintf (.param .b64 format, .param .b64 arguments);
     .global .align 1 .b8 words[14] = {114, 111, 119, 32, 37, 100, 58, 32, 37, 46, 50, 102, 10, 0};",
    "{ .reg .b64 %at<3>; .reg .b32 %row; .local .align 8 .b8 given[16]; .param .b64 format; .param .b64 all;
     .param .b32 done; mov.u32 %row, %tid.y; mov.u64 %at0, given; st.local.u32 [%at0], %row;
     st.local.f64 [%at0+8], 0d4021000000000000; cvta.local.u64 %at1, %at0; mov.u64 %at2, words;
     cvta.global.u64 %at2, %at2; st.param.b64 [format], %at2; st.param.b64 [all], %at1;
     call.uni (done), vprintf, (format, all); }",
];

#[test]
fn what_a_kernel_prints_is_printed_once_and_in_order() {
    let place = Place::new();
    let ptx = succeeded(&place.run(&["kernel", "ptx", "softmax_fwd_f32"]));
    let target = ".address_size 64\n";
    let ptx = ptx.replacen(target, &format!("{target}{}\n", PRINTING[0]), 1);
    let (before, entry) = ptx.split_at(ptx.find(".entry softmax_fwd_f32(").expect("the entry"));
    let first = entry.find("ld.param").expect("the first instruction");
    let text = format!("{before}{}{}\n{}", &entry[..first], PRINTING[1], &entry[first..]);
    place.write("printing.ptx", text.as_bytes());
    let words = ["kernel", "run", "softmax", "--shape", "9,40", "--ptx", "printing.ptx"];
    let said = succeeded(&place.run(&words));
    let rows: Vec<&str> = said.lines().filter(|line| line.starts_with("row ")).collect();
    // Two blocks of eight warps, a row for each warp.
    let expected: Vec<String> =
        (0..2 * 8 * 32).map(|thread| format!("row {}: 8.50", thread / 32 % 8)).collect();
    assert_eq!(rows, expected, "{said}");
    assert!(said.contains("holds"), "{said}");
}

/// 4 rows of 256 f32 are 4096 bytes, each read and written once, 32 bytes a sector.
#[test]
fn counts_are_printed_when_asked_for() {
    let place = Place::new();
    let run = |words: &[&str]| {
        let words = [&["kernel", "run", "softmax", "--shape", "4,256"], words].concat();
        let text = succeeded(&place.run(&words));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let text = run(&["--counts"]);
    for told in [
        "global read 4096 B in 128 sectors of 32 B: 100 % used",
        "global written 4096 B in 128 sectors of 32 B: 100 % used",
        "bytes read 4096 4096",
        "0 bank conflicts",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!run(&[]).contains("sectors"));
}

#[test]
fn what_cannot_be_run_is_refused_with_what_can() {
    let place = Place::new();
    let run = |words: &[&str]| place.run(&[&["kernel", "run"], words].concat());
    for (words, told) in [
        (&["nothing"][..], "kernel list"),
        (&["softmax", "--shape", "4"], "takes ROWS,N, such as 4,256"),
        (&["softmax", "--shape", "4,0"], "nothing to do"),
        (&["softmax", "--shape", "99999999,99999999"], "more than"),
        (&["softmax", "--dtype", "f64"], "none of f32, f16 and bf16"),
        (&["softmax", "--trace", "0"], "BLOCK,THREAD"),
        (&["softmax", "--trace", "5,0"], "no thread 0 of block 5"),
        (&["softmax", "--break", "softmax.cu"], "FILE:LINE"),
        (&["softmax", "--break", "softmax.cu:1"], "has instructions for lines"),
        (&["softmax", "--break", "other.cu:1"], "kernels/softmax.cu"),
        (&["softmax", "--schedule", "sideways"], "seed:N"),
    ] {
        let said = refused(&run(words), 2);
        assert!(said.contains(told), "{words:?}: {said}");
    }
    place.write("odd.ptx", b"not PTX");
    let said = refused(&run(&["softmax", "--ptx", "odd.ptx"]), 2);
    assert!(said.contains("no entry of softmax"), "{said}");
}
