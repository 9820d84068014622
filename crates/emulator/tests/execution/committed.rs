//! The kernels of this tree: each must be understood.

use std::path::Path;

use warpsmith_emulator::Program;

#[test]
fn every_committed_kernel_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels/built");
    let mut entries = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ptx") {
            let text = std::fs::read_to_string(&path).unwrap();
            let program = Program::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(program.target, "sm_80");
            entries += program.entries.len();
        }
    }
    assert!(entries > 100, "{entries} entries");
}
