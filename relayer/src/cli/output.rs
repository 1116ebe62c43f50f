//! What a command prints: lines for people, or one JSON document for programs, on standard output; progress and errors go
//! to standard error.

use super::error::{CliError, Result};
use crate::secret_files::exposed;
use crate::words;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document on standard output; errors as JSON on standard error. Amounts are µUSDC in decimal strings, or what the name ends in.
    Json,
    /// Rows with commas between, of `steam statement` alone.
    Csv,
}

/// A command's result.
pub trait Report: Serialize {
    /// Writes the lines for people.
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Writes the rows for a spreadsheet. Only a command that has them is run with [`Format::Csv`].
    fn csv(&self, _: &mut dyn Write) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Format {
    /// Prints a result.
    pub fn print(self, report: &impl Report) -> Result<()> {
        let mut bytes = Vec::new();
        let written = match self {
            Self::Text => report.text(&mut bytes).map(|()| {
                // Names of strangers are in it: nothing that a terminal would obey.
                bytes = words::printable_lines(&String::from_utf8_lossy(&bytes)).into_bytes();
            }),
            Self::Csv => report.csv(&mut bytes),
            Self::Json => serde_json::to_string_pretty(report)
                .map_err(io::Error::from)
                .map(|json| bytes = (words::escaped_json(&json) + "\n").into_bytes()),
        };
        written.map_err(|error| cannot_write(&error))?;
        write_out(&bytes)
    }

    /// Tells people what is going on; says nothing to programs.
    pub fn progress(self, line: &str) {
        if self == Self::Text {
            // An error is ignored: standard error is closed, and there is no other place to report it.
            let _ = writeln!(io::stderr().lock(), "{}", words::printable_lines(line));
        }
    }

    /// Tells people of a file with a secret that every user of the machine may read or change.
    pub fn warn_of(self, secret: &Path) {
        if let Some(problem) = exposed(secret) {
            self.progress(&format!("warning: {problem}"));
        }
    }

    /// Prints a line of a result that is not complete yet: people see what is done, programs get one document at the end.
    pub fn line(self, line: &str) -> Result<()> {
        match self {
            Self::Text => write_out(format!("{}\n", words::printable_lines(line)).as_bytes()),
            Self::Json | Self::Csv => Ok(()),
        }
    }

    /// Prints an error on standard error.
    pub fn error(self, error: &CliError) {
        let text = match self {
            Self::Text | Self::Csv => words::printable_lines(&error.to_string()),
            Self::Json => words::escaped_json(&error.to_json()),
        };
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Writes to standard output, at once.
pub fn write_out(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(&error)),
        _ => Ok(()),
    }
}

fn cannot_write(error: &io::Error) -> CliError {
    CliError::new("output", format!("cannot write the result: {error}"))
}

/// Writes a piece of an answer as it comes. A terminal gets nothing that it would obey; a pipe gets the answer.
pub fn write_prose(piece: &str) -> Result<()> {
    if io::stdout().is_terminal() {
        return write_out(words::printable_prose(piece).as_bytes());
    }
    write_out(piece.as_bytes())
}

/// The name that a variant has in JSON.
pub fn name_of(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => name,
        other => format!("{other:?}"),
    }
}

/// Columns that text for people takes at most, where it has spaces to break it at.
const COLUMNS: usize = 80;
/// Columns before a value.
const MARGIN: usize = 16;

/// A value of a text report after its name; where it is too wide, the rest of it stands below its beginning.
pub fn line(out: &mut dyn Write, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
    broken(out, format!("{name:<15} "), MARGIN, &value.to_string())
}

/// A sentence after `indent` spaces; where it is too wide, the rest of it stands four further in.
pub fn paragraph(out: &mut dyn Write, indent: usize, text: &str) -> io::Result<()> {
    broken(out, " ".repeat(indent), indent + 4, text)
}

/// Breaks `text` at its spaces: an address, or whatever else has none, stays whole.
fn broken(out: &mut dyn Write, begin: String, hang: usize, text: &str) -> io::Result<()> {
    let (mut line, mut words) = (begin, 0);
    for word in text.split(' ') {
        if words > 0 {
            if line.chars().count() + 1 + word.chars().count() > COLUMNS {
                writeln!(out, "{line}")?;
                line = " ".repeat(hang);
            } else {
                line.push(' ');
            }
        }
        line.push_str(word);
        words += 1;
    }
    writeln!(out, "{line}")
}

/// A table for people: its columns' names and rows, each column as wide as it must be; or a list, where the terminal is
/// narrower than that. What steers a terminal is left out: names are strangers'.
pub fn table(out: &mut dyn Write, names: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    laid_out(out, names, rows, terminal_columns())
}

fn laid_out(out: &mut dyn Write, names: &[&str], rows: &[Vec<String>], columns: Option<usize>) -> io::Result<()> {
    let plain = |text: &String| text.chars().filter(|letter| !letter.is_control()).collect::<String>();
    let head = names.iter().map(|name| (*name).to_owned()).collect();
    let body = rows.iter().map(|row| row.iter().map(plain).collect());
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let longest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..names.len()).map(|column| longest(column).unwrap_or_default()).collect();
    let all = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
    if columns.is_some_and(|columns| columns < all) {
        return list(out, names, &rows[1..]);
    }
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Each row as a paragraph, so that every cell is whole and can be copied.
fn list(out: &mut dyn Write, names: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        for (name, cell) in names.iter().zip(row) {
            writeln!(out, "{name:<15} {cell}")?;
        }
    }
    Ok(())
}

/// How wide the terminal is to which results go, if they go to one.
fn terminal_columns() -> Option<usize> {
    #[cfg(unix)]
    if io::IsTerminal::is_terminal(&io::stdout()) {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        return size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    }
    None
}

/// A number of things in words: `1 receipt`, `2 receipts`.
pub fn counted(count: u64, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}

/// A row for a spreadsheet. A cell that it would take for a formula is marked as text: names are strangers'.
pub fn csv_row(out: &mut dyn Write, cells: &[&str]) -> io::Result<()> {
    let cells = cells.iter().map(|cell| {
        let text = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { (*cell).into() };
        if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    });
    write!(out, "{}\r\n", cells.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_steer_no_terminal() {
        let rows = [vec!["a".into(), "\u{1b}[2Jé".into()], vec!["longer".into(), "b".into()]];
        assert_eq!(written(|out| table(out, &["x", "name"], &rows)), "x       name\na       [2Jé\nlonger  b\n");
    }

    #[test]
    fn what_is_wider_than_the_terminal_is_a_list_of_whole_cells() {
        let rows = [vec!["a".into(), "12345678".into()], vec!["b".into(), "9".into()]];
        let table = "id  name\na   12345678\nb   9\n";
        for columns in [None, Some(12), Some(80)] {
            assert_eq!(written(|out| laid_out(out, &["id", "name"], &rows, columns)), table, "{columns:?}");
        }
        let list = written(|out| laid_out(out, &["id", "name"], &rows, Some(11)));
        let cell = |name: &str, value: &str| format!("{name:<15} {value}\n");
        assert_eq!(
            list,
            [cell("id", "a"), cell("name", "12345678"), "\n".into(), cell("id", "b"), cell("name", "9")].concat()
        );
    }

    #[test]
    fn what_is_wider_than_eighty_columns_is_broken_at_spaces_and_an_address_stays_whole() {
        let words = vec!["word"; 40].join(" ");
        for (text, hang) in [
            (written(|out| line(out, "name", &words)), " ".repeat(16)),
            (written(|out| paragraph(out, 2, &words)), " ".repeat(6)),
        ] {
            assert!(text.lines().count() > 2 && text.lines().all(|line| line.len() <= 80), "{text}");
            assert!(text.lines().skip(1).all(|line| line.starts_with(&format!("{hang}word"))), "{text}");
            assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 40);
        }
        let whole = "a".repeat(100);
        assert_eq!(written(|out| line(out, "name", &whole)), format!("name            {whole}\n"));
        assert_eq!(written(|out| paragraph(out, 0, "")), "\n");
    }

    #[test]
    fn one_of_a_kind_has_no_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "receipt")), ["0 receipts", "1 receipt", "2 receipts"]);
    }

    #[test]
    fn a_cell_of_a_spreadsheet_is_never_a_formula() {
        let row = ["plain", "a,b", "say \"hi\"", "=1+1", "@sum,(x)", "-3", ""];
        let line = "plain,\"a,b\",\"say \"\"hi\"\"\",'=1+1,\"'@sum,(x)\",'-3,\r\n";
        assert_eq!(written(|out| csv_row(out, &row)), line);
    }
}
