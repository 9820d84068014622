//! The parameter structs of the kernels and their Rust twins: the same fields in the same order, so that none is read where
//! another was written. Both sides lay a struct out as C does, so this is the same offset of each.

use std::collections::BTreeMap;
use std::path::Path;

/// Name and type of each field, in order; the types as Rust writes them.
type Fields = Vec<(String, String)>;

/// The text between the first `{` and the `}` behind it; none if either is missing or there are braces inside.
fn body(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('{')?;
    let (body, _) = rest.split_once('}')?;
    (!body.contains(['{', '('])).then_some(body)
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// The structs of a Rust file that are laid out as in C. Those that a macro declares have its names, `$n` and all.
fn of_rust(text: &str) -> Vec<(String, Fields)> {
    let text = without_comments(text);
    let found = text.split("#[repr(C)]").skip(1).filter_map(|rest| {
        let (_, rest) = rest.split_once("struct ")?;
        let name = rest.split([' ', '<', '{']).next()?;
        let fields = body(rest)?.split(",\n").filter_map(|field| {
            let (name, kind) = field.split_once(": ")?;
            Some((name.split_whitespace().last()?.to_owned(), rust_type(kind.trim().trim_end_matches(','))))
        });
        Some((cuda_name(name).to_owned(), fields.collect()))
    });
    found.collect()
}

/// The name that the CUDA side has for it.
fn cuda_name(name: &str) -> &str {
    match name {
        "$args" => "MapArgs",
        "$name" => "Space",
        // One tensor of an optimiser's step.
        "Parameter" => "Tensor",
        name => name,
    }
}

fn rust_type(kind: &str) -> String {
    match kind {
        "Dims" => "[u64; MAX_DIMS]".into(),
        "$space" => "Space<N + 1>".into(),
        "Space2" | "Space3" | "Space4" => format!("Space<{}>", &kind[5..]),
        kind => kind.replace("$n", "N").replace("Parameter", "Tensor"),
    }
}

/// The structs of a CUDA file that have no functions.
fn of_cuda(text: &str) -> Vec<(String, Fields)> {
    let text = without_comments(text);
    let found = text.split("struct ").skip(1).filter_map(|rest| {
        let name = rest.split_whitespace().next()?;
        let fields = body(rest)?.split(';').filter(|field| !field.trim().is_empty()).flat_map(cuda_fields);
        Some((name.to_owned(), fields.collect()))
    });
    found.collect()
}

/// The fields of one declaration: `u64 y, x[2]`.
fn cuda_fields(declaration: &str) -> Vec<(String, String)> {
    let declaration = declaration.trim();
    // `Space<N + 1> space`: blanks in the brackets belong to the type.
    let end = declaration.find('>').map_or_else(|| declaration.find(' '), |at| Some(at + 1));
    let (kind, names) = declaration.split_at(end.unwrap_or(declaration.len()));
    let field = |name: &str| {
        let mut parts = name.trim().split('[').map(|part| part.trim_end_matches(']'));
        let name = parts.next().unwrap_or("").to_owned();
        // `[2][3]` of C are two rows of three.
        let kind = parts.rev().fold(kind.to_owned(), |kind, size| format!("[{kind}; {size}]"));
        (name, kind)
    };
    names.split(',').map(field).collect()
}

/// The texts of all files below `folder` whose name ends so, but for tests.
fn texts(folder: &Path, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.ends_with("tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(texts(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[test]
fn every_struct_of_parameters_has_its_fields_where_its_kernel_reads_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cuda: BTreeMap<String, Vec<Fields>> = BTreeMap::new();
    for (name, fields) in
        [".cu", ".cuh"].iter().flat_map(|ending| texts(root, ending)).flat_map(|t| of_cuda(&t))
    {
        cuda.entry(name).or_default().push(fields);
    }
    let (mut compared, mut count) = (0, 0);
    for (name, fields) in texts(&root.join("src"), ".rs").iter().flat_map(|text| of_rust(text)) {
        let twins = cuda.get(&name).unwrap_or_else(|| panic!("no kernel has a struct {name}"));
        assert!(twins.contains(&fields), "{name}: {fields:#?}\nbut its kernel has {twins:#?}");
        compared += 1;
        count += fields.len();
    }
    // Those at the margin, and those that two macros declare.
    let sources = texts(&root.join("src"), ".rs");
    let declared: usize = sources.iter().map(|text| text.matches("\n#[repr(C)]").count()).sum();
    assert_eq!(compared, declared + 2);
    assert!(declared > 35 && count > 4 * compared, "{declared} structs of {count} fields");
}

#[test]
fn two_fields_that_changed_places_are_seen() {
    let rust = |fields: &str| of_rust(&format!("#[repr(C)]\n#[derive(Pod)]\nstruct A {{\n{fields}\n}}\n"));
    let cuda =
        of_cuda("struct A {\n    u64 y, x[2];  // pointers\n    u32 n, unused;\n    Space<3> space;\n};\n");
    let right = "    y: u64,\n    /// Inputs.\n    pub x: [u64; 2],\n    n: u32,\n    unused: u32,\n    space: Space3,";
    assert_eq!(rust(right), cuda);
    assert_ne!(rust(&right.replace("n: u32,\n    unused: u32", "unused: u32,\n    n: u32")), cuda);
    assert_ne!(rust(&right.replace("n: u32", "n: f32")), cuda);
    assert_ne!(rust(&right.replace("; 2]", "; 3]")), cuda);
}
