//! Lines of fields with commas between, quoted as RFC 4180 has it.

use super::failure::{Failure, Outcome};

/// A line without its end. A field is quoted where it would be read back as something else.
pub(super) fn line<'f>(fields: impl IntoIterator<Item = &'f str>) -> String {
    let quoted = |field: &str| {
        if field.contains([',', '"', '\r', '\n']) || field.trim() != field || field.is_empty() {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    fields.into_iter().map(quoted).collect::<Vec<_>>().join(",")
}

/// The fields of a line, and the number of the line that they begin in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) number: usize,
    pub(super) fields: Vec<String>,
}

/// All rows of a text, without those that are empty.
pub(super) fn rows(text: &str) -> Outcome<Vec<Row>> {
    let (mut rows, mut rest, mut number) = (Vec::new(), text, 1);
    while !rest.is_empty() {
        let mut fields = Vec::new();
        let begun = rest;
        loop {
            let (field, after) = field(rest).map_err(|why| {
                let line = begun.lines().next().unwrap_or_default();
                Failure::failed(format!("line {number}: {why}: {line:?}"))
            })?;
            fields.push(field);
            let Some(more) = after.strip_prefix(',') else {
                rest = after.strip_prefix("\r\n").or_else(|| after.strip_prefix('\n')).unwrap_or(after);
                break;
            };
            rest = more;
        }
        if fields.iter().any(|field| !field.trim().is_empty()) || fields.len() > 1 {
            rows.push(Row { number, fields });
        }
        let taken = begun.get(..begun.len() - rest.len()).unwrap_or_default();
        number += taken.matches('\n').count();
    }
    Ok(rows)
}

/// The first field of a text, and what comes after it: a comma, the end of a line, or nothing.
fn field(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let (field, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let field = field.strip_suffix('\r').filter(|_| rest.starts_with('\n')).unwrap_or(field);
        return if field.contains('"') {
            Err("a quote is in a field that does not begin with one")
        } else {
            Ok((field.to_owned(), rest))
        };
    };
    let (mut field, mut rest) = (String::new(), quoted);
    loop {
        let (before, after) = rest.split_once('"').ok_or("a quoted field has no end")?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None if after.is_empty() || after.starts_with([',', '\n']) || after.starts_with("\r\n") => {
                return Ok((field, after));
            }
            None => return Err("there is something between a closing quote and the comma"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(usize, Vec<String>)> {
        rows(text).unwrap().into_iter().map(|row| (row.number, row.fields)).collect()
    }

    #[test]
    fn fields_are_read_as_rfc_4180_has_them() {
        for (text, expected) in [
            ("", vec![]),
            ("a,b,1", vec![(1, vec!["a", "b", "1"])]),
            ("a,b\r\nc,d\r\n", vec![(1, vec!["a", "b"]), (2, vec!["c", "d"])]),
            ("\n\na\n\n", vec![(3, vec!["a"])]),
            ("\"a,b\",\"c\"\"d\",\"\"\n", vec![(1, vec!["a,b", "c\"d", ""])]),
            ("\"a\nb\",c\r\nd", vec![(1, vec!["a\nb", "c"]), (3, vec!["d"])]),
            (",\n", vec![(1, vec!["", ""])]),
            (" a , b", vec![(1, vec![" a ", " b"])]),
        ] {
            let expected: Vec<(usize, Vec<String>)> = expected
                .into_iter()
                .map(|(number, fields)| (number, fields.into_iter().map(str::to_owned).collect()))
                .collect();
            assert_eq!(of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_quoted_wrong_is_refused_with_its_line() {
        for (text, reason) in [
            ("a\n\"b", "line 2: a quoted field has no end: \"\\\"b\""),
            ("\"a\"b,c", "line 1: there is something between a closing quote and the comma"),
            ("a\"b", "line 1: a quote is in a field that does not begin with one"),
        ] {
            let Err(Failure::Failed(why)) = rows(text) else { panic!("{text:?} is taken") };
            assert!(why.contains(reason), "{why}");
        }
    }

    #[test]
    fn any_fields_come_back() {
        let hard = ["", " ", "a", "a,b", "\"", "\"\"", "a\"b", "\n", "\r\n", "\r", " a ", "ü,\u{2028}", ","];
        for one in hard {
            for other in hard {
                assert_eq!(
                    of(&line([one, other])),
                    [(1, vec![one.to_owned(), other.to_owned()])],
                    "{one:?} {other:?}"
                );
                assert_eq!(of(&format!("x\n{}\n", line([one, other])))[1].1, [one, other]);
            }
        }
    }
}
