//! Broken texts: an error with its line, or a program, and never a panic.

use warpsmith_emulator::Program;

/// Lines of kernels in which every construct of the parser occurs.
const TEXTS: [&str; 3] =
    [include_str!("kernels/flow.ptx"), include_str!("kernels/matrix.ptx"), include_str!("kernels/warp.ptx")];
const ROUNDS: u64 = 150;

/// Xorshift (Marsaglia, 2003).
fn draw(state: &mut u64, below: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % below.max(1) as u64) as usize
}

#[test]
fn mutated_texts_never_panic() {
    let mut refused = 0;
    for text in TEXTS {
        for round in 0..ROUNDS {
            let mut state = round * 2 + 1;
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..1 + draw(&mut state, 4) {
                let at = draw(&mut state, bytes.len());
                let length = draw(&mut state, 20).min(bytes.len() - at);
                match draw(&mut state, 4) {
                    0 => drop(bytes.drain(at..at + length)),
                    1 => bytes[at] = b" ,;{}[]()@%.0x-+|!_a"[draw(&mut state, 20)],
                    2 => bytes.truncate(at),
                    _ => {
                        let piece = bytes[at..at + length].to_vec();
                        let to = draw(&mut state, bytes.len());
                        bytes.splice(to..to, piece);
                    }
                }
            }
            let mutated = String::from_utf8_lossy(&bytes);
            if let Err(error) = Program::parse(&mutated) {
                refused += 1;
                assert!(error.line >= 1 && !error.sentence.is_empty());
            }
        }
    }
    assert!(refused > 100, "{refused} texts refused: the mutations do not break enough");
}

#[test]
fn mistakes_are_named_with_their_line() {
    let entry = |body: &str| {
        format!(
            ".version 8.4\n.target sm_80\n.address_size 64\n.visible .entry k()\n{{\n.reg .b32 %r<4>;\n{body}\n}}\n"
        )
    };
    for (body, line, word) in [
        ("frob.u32 %r1, %r2;", 7, "frob"),
        ("ret;\nadd.u32 %r1, %r2, %r9;", 8, "%r9"),
        ("add.bar.u32 %r1, %r2, %r3;", 7, "bar"),
        ("add.u64 %r1, %r2, %r3;", 7, "64 bits"),
        ("bra nowhere;", 7, "nowhere"),
        ("ld.global.u32 %r1, %r2;", 7, "brackets"),
        ("mov.u32 %r1, 0x;", 7, "number"),
    ] {
        let error = Program::parse(&entry(body)).unwrap_err();
        assert_eq!(error.line, line, "{body}: {error}");
        assert!(error.sentence.contains(word), "{body}: {error}");
    }
    let text = entry(".loc 1 40 3\nfrob.u32 %r1, %r2;").replace(".visible", ".file 1 \"rows.cu\"\n.visible");
    let error = Program::parse(&text).unwrap_err();
    assert!(error.to_string().starts_with("ptx line 9, from rows.cu:40: "), "{error}");
    assert!(error.to_string().ends_with("frob.u32 %r1, %r2;"), "{error}");
    let newer = Program::parse(".version 99.0\n.target sm_80\n").unwrap_err();
    assert!(newer.sentence.contains("newer"));
    assert!(Program::parse("").is_err());
}
