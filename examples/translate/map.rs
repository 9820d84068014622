//! How strongly each written word looked at each word of the source: for a terminal, and as a page.

/// Columns that a text takes in a terminal: a Han character takes two.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if c >= '\u{2E80}' { 2 } else { 1 }).sum()
}

fn spaces(count: usize) -> String {
    " ".repeat(count)
}

/// The source along the top, what was written down the side, and between them hundredths: a point for less than 5.
pub fn text(source: &[String], written: &[String], weights: &[Vec<f32>]) -> String {
    let side = written.iter().map(|word| columns(word)).max().unwrap_or(0);
    let widths: Vec<usize> = source.iter().map(|word| columns(word).max(3)).collect();
    let top =
        source.iter().zip(&widths).map(|(word, width)| format!("  {}{word}", spaces(width - columns(word))));
    let mut lines = vec![format!("  {}{}", spaces(side), top.collect::<String>())];
    for (word, row) in written.iter().zip(weights) {
        let cell = |(weight, width): (&f32, &usize)| match (weight * 100.0).round() as usize {
            0..5 => format!("  {:>width$}", "·"),
            share => format!("  {share:>width$}"),
        };
        let cells: String = row.iter().zip(&widths).map(cell).collect();
        lines.push(format!("  {}{word}{cells}", spaces(side - columns(word))));
    }
    lines.join("\n") + "\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The words of a source, those that were written, and how strongly each of these looked at each of those.
pub type Map = (Vec<String>, Vec<String>, Vec<Vec<f32>>);

/// A page of such maps, which needs nothing beside it: the darker a cell, the stronger the look.
pub fn page(maps: &[Map]) -> String {
    let head = "<!doctype html><meta charset=\"utf-8\"><title>Cross-attention</title><style>body{font:16px sans-serif}\
                table{border-spacing:2px;margin:2em}th{font-weight:normal;padding:2px 6px}td{min-width:2em;text-align:right;\
                font-size:11px}</style>\n";
    let table = |(source, written, weights): &Map| {
        let top: String = source.iter().map(|word| format!("<th>{}", escaped(word))).collect();
        let row = |(word, row): (&String, &Vec<f32>)| {
            let cell = |weight: &f32| {
                let ink = if *weight > 0.5 { "white" } else { "black" };
                format!(
                    "<td style=\"background:rgba(0,70,160,{weight:.2});color:{ink}\">{:.0}",
                    100.0 * weight
                )
            };
            format!("<tr><th>{}{}\n", escaped(word), row.iter().map(cell).collect::<String>())
        };
        let rows: String = written.iter().zip(weights).map(row).collect();
        format!("<table><tr><th>{top}\n{rows}</table>\n")
    };
    head.to_string() + &maps.iter().map(table).collect::<String>()
}
