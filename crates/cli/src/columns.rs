//! Plain columns on a terminal.

use coldcase_model::text::visible;

/// Rows under a head, in columns as wide as their widest cell: the first column to the left, the others to the right.
/// Cells may hold captured text: it is made visible.
pub(crate) fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |row: &[String]| row.iter().map(|c| visible(c).into_owned()).collect::<Vec<_>>();
    let mut all = vec![head.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()];
    all.extend(rows.iter().map(|r| cells(r)));
    let width = |i: usize| all.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for row in &all {
        let mut line = String::new();
        for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            match i {
                0 => line.push_str(&format!("{cell:<width$}")),
                _ => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_hostile_text_is_visible() {
        let rows = [vec!["a\x1b[2J".to_owned(), "1".to_owned()], vec!["b".to_owned(), "1,000".to_owned()]];
        assert_eq!(columns(&["name", "n"], &rows), "name          n\na\\x1b[2J      1\nb         1,000\n");
    }
}
