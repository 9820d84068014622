//! Tables in Markdown, which read well in a terminal too.

/// A table: names of columns, and rows of as many cells. Columns are as wide as their widest cell.
pub fn markdown(head: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let all = || std::iter::once(&head).chain(&rows);
    let width =
        |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = widths.iter().zip(row).map(|(&width, cell)| format!(" {cell:<width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule: String = widths.iter().map(|&width| format!("{}|", "-".repeat(width + 2))).collect();
    let body: String = rows.iter().map(line).collect();
    format!("{}|{rule}\n{body}", line(&head))
}
