//! Plain columns on a terminal.

use crate::text::visible;

/// Characters of a cell at most. Names of C++ templates and Rust generics reach a thousand, and one would push the figures of
/// all rows out of sight; `--json` has them whole.
const CELL: usize = 140;

/// Rows under a head, in columns as wide as their widest cell: the first column to the left, the others to the right.
/// Cells may hold captured text: it is made visible. Of very long ones the middle is left out.
pub fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    columns_with(1, head, rows)
}

/// The same with so many columns to the left.
pub fn columns_with(left: usize, head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |row: &[String]| row.iter().map(|c| fit(&visible(c))).collect::<Vec<_>>();
    let mut all = vec![head.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()];
    all.extend(rows.iter().map(|r| cells(r)));
    let width = |i: usize| all.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).enumerate();
        let line: Vec<String> =
            cells.map(|(i, (cell, &w))| if i < left { format!("{cell:<w$}") } else { format!("{cell:>w$}") }).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// A cell as it is, or its two ends.
fn fit(cell: &str) -> String {
    let length = cell.chars().count();
    if length <= CELL {
        return cell.to_owned();
    }
    let begin: String = cell.chars().take(CELL / 2).collect();
    let end: String = cell.chars().skip(length - (CELL / 2 - 1)).collect();
    format!("{begin}…{end}")
}

#[cfg(test)]
mod tests {
    use super::{CELL, columns};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_hostile_text_is_visible() {
        let rows = [vec!["a\x1b[2J".to_owned(), "1".to_owned()], vec!["b".to_owned(), "1,000".to_owned()]];
        assert_eq!(columns(&["name", "n"], &rows), "name          n\na\\x1b[2J      1\nb         1,000\n");
    }

    #[test]
    fn of_a_very_long_name_both_ends_are_shown() {
        let name = format!("begin<{}>::end", "é".repeat(500));
        let text = columns(&["name", "n"], &[vec![name, "1".to_owned()]]);
        let row = text.lines().last().unwrap_or_default();
        assert!(row.starts_with("begin<éé") && row.contains("é…é") && row.ends_with("é>::end  1"), "{row}");
        assert_eq!(row.chars().count(), CELL + 3);
    }
}
