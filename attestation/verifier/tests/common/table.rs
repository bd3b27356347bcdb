//! A table of rejections as text, for people to read: `rows.txt` beside the rows that it is made of.

use std::fmt::Write as _;
use std::path::Path;

/// Compares `tests/FOLDER/rows.txt` with these rows (number, what is changed, what comes of it); with
/// `VOUCHSAFE_BLESS=1` in the environment it is written instead.
pub(crate) fn compare(folder: &str, rows: &[(u8, String, String)]) {
    let what_width = rows.iter().map(|(_, what, _)| what.chars().count()).max().unwrap_or_default();
    let mut text =
        String::from("Made from the tables of tests beside it; VOUCHSAFE_BLESS=1 makes it anew.\n\n");
    for (number, what, outcome) in rows {
        let number = if *number == 0 { "-".to_owned() } else { number.to_string() };
        writeln!(text, "{number:>3}  {what:what_width$}  {outcome}").unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder).join("rows.txt");
    if std::env::var_os("VOUCHSAFE_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == text,
        "{} is not what the tables say; VOUCHSAFE_BLESS=1 makes it anew",
        file.display()
    );
}
