//! What a fuzzer feeds to everything that reads a text here: it panics if a promise does not hold.

use super::{consume, csv, groups, import, lines, offsets, pattern, produce, properties, time};

/// The first byte chooses who reads the rest.
pub fn texts(data: &[u8]) {
    let Some((reader, data)) = data.split_first() else { return };
    if reader % 4 == 0 {
        produce::read_line(data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match reader % 4 {
        0 => {
            let _ = (properties::pair(text), properties::flag("name", text));
            let (mut bytes, mut again) = (Vec::new(), Vec::new());
            if lines::from_digits(text, &mut bytes).is_some() {
                lines::push_digits(&bytes, &mut again);
                assert_eq!(String::from_utf8_lossy(&again), text.to_ascii_lowercase());
            }
        }
        1 => {
            if let Ok(rows) = csv::rows(text) {
                for csv::Row { fields, .. } in rows {
                    let line = csv::line(fields.iter().map(String::as_str));
                    let again = csv::rows(&line).unwrap_or_default();
                    assert!(again.len() == 1 && again[0].fields == fields, "{fields:?} come back");
                }
            }
            groups::read_text(text);
        }
        2 => import::read_line(text),
        _ => {
            if let Ok(pattern) = pattern::Pattern::parse(text) {
                for name in pattern.names() {
                    assert!(pattern.matches(name), "a name that is listed is meant");
                }
            }
            offsets::read_text(text);
            consume::read_text(text);
            if let Ok(at) = time::point(text) {
                let _ = time::shown(at);
            }
            let _ = time::span(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// What the fuzzer has found worth keeping.
    #[test]
    fn no_kept_input_breaks_a_promise() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        if !fuzz.exists() {
            // The package that is published has no fuzzers.
            return;
        }
        let kept = std::fs::read_dir(fuzz.join("corpus/command_line")).unwrap();
        let mut count = 0;
        for entry in kept {
            super::texts(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 10, "{count}");
    }
}
