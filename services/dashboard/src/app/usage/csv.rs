//! Usage as a file for spreadsheets (RFC 4180).

/// What begins a formula in one spreadsheet or another, or hides what does.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A line of a file.
pub(super) fn line<'c>(cells: impl IntoIterator<Item = &'c str>) -> String {
    let cells: Vec<String> = cells.into_iter().map(cell).collect();
    format!("{}\r\n", cells.join(","))
}

/// A text as a cell. One that a spreadsheet would compute gets a quotation mark in front, which says that it is text.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(FORMULAS);
    let mark = if is_formula { "'" } else { "" };
    if is_formula || text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{mark}{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_computed_or_breaks_its_line() {
        for (text, written) in [
            ("gemini", "gemini"),
            ("1.5", "1.5"),
            ("", ""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("a,b", "\"a,b\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
        ] {
            assert_eq!(cell(text), written);
        }
        assert_eq!(line(["a", "=b", "c"]), "a,\"'=b\",c\r\n");
    }
}
