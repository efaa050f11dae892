//! Names of topics: which are valid, which are Kafka's own, and which two are too much alike.
//!
//! A valid name is safe as the first part of a directory name `<topic>-<partition>`: 249 characters, a dash and
//! five digits stay within the 255 bytes that file systems allow.

use crate::error::{Error, Result};

/// The longest name, in characters (which are bytes, since only ASCII is valid).
pub(crate) const MAX_LEN: usize = 249;

/// Topics that Kafka makes for itself, and the one that holds the metadata.
pub(crate) const RESERVED: [&str; 4] =
    [CONSUMER_OFFSETS, TRANSACTION_STATE, "__share_group_state", CLUSTER_METADATA];

/// What groups have committed.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// The states of transactions.
pub(crate) const TRANSACTION_STATE: &str = "__transaction_state";
/// Topics, partitions and their settings.
pub(crate) const CLUSTER_METADATA: &str = "__cluster_metadata";

/// What Windows takes for a device in any directory and any case, also with a dot and more after it.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// The same with a digit after.
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// Checks that a topic can have this name at all.
pub(crate) fn check(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(invalid(name, &format!("is empty; a name has 1 to {MAX_LEN} characters")));
    }
    if let Some(wrong) = name.chars().find(|c| !is_valid_char(*c)) {
        return Err(invalid(name, &format!("contains {wrong:?}; valid are a-z, A-Z, 0-9, '.', '_' and '-'")));
    }
    if name.len() > MAX_LEN {
        return Err(invalid(name, &format!("has {} characters; at most {MAX_LEN} are valid", name.len())));
    }
    if matches!(name, "." | "..") {
        return Err(invalid(name, "means a directory; any other name of these characters is valid"));
    }
    Ok(())
}

/// Checks that a user can create a topic of this name.
///
/// Spellings of a reserved name that differ in case, or in '.' for '_', are refused as well: they would be in the
/// way when the topic itself has to be made.
pub(crate) fn check_new(name: &str) -> Result<()> {
    check(name)?;
    let key = case_key(&collision_key(name));
    match RESERVED.iter().find(|reserved| **reserved == key) {
        Some(reserved) => {
            Err(invalid(name, &format!("is reserved for Kafka's own topic {reserved}; choose another")))
        }
        None => Ok(()),
    }
}

/// Whether this is exactly one of the [`RESERVED`] names.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Refuses what means a device where the file system has such names, though a partition's number makes most of them
/// harmless: other programs take the topic's name for a file's as well.
pub(crate) fn refuse_device(name: &str) -> Result<()> {
    let stem = case_key(name.split('.').next().unwrap_or_default());
    let mut numbered = NUMBERED_DEVICES.iter().filter_map(|device| stem.strip_prefix(device));
    if DEVICES.contains(&stem.as_str())
        || numbered.any(|number| number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(invalid(name, "means a device on this system; choose another"));
    }
    Ok(())
}

/// Two topics whose keys are equal cannot both exist: Kafka's metric names do not tell '.' from '_'.
pub(crate) fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

/// Two topics whose keys are equal share a directory on file systems that ignore case.
pub(crate) fn case_key(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn is_valid_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn invalid(name: &str, reason: &str) -> Error {
    Error::invalid("topic name", format!("{} {reason}", super::setting::quoted(name)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn valid_names() {
        let longest = "x".repeat(MAX_LEN);
        for name in ["a", "orders", "A.b_c-9", "...", ".a", "-", "_", "__mine", "a-0", "0", &longest] {
            check_new(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }

    #[test]
    fn invalid_names_say_why() {
        let too_long = "x".repeat(MAX_LEN + 1);
        for (name, reason) in [
            ("", "is empty"),
            (".", "means a directory"),
            ("..", "means a directory"),
            ("a b", "contains ' '"),
            ("a/b", "contains '/'"),
            ("a\\b", "contains '\\\\'"),
            ("a\0", "contains '\\0'"),
            ("käse", "contains 'ä'"),
            ("a:b", "contains ':'"),
            (too_long.as_str(), "has 250 characters; at most 249"),
        ] {
            let text = check(name).unwrap_err().to_string();
            assert!(text.starts_with("topic name: "), "{text}");
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn reserved_names_exist_but_are_not_for_users() {
        for name in RESERVED {
            assert!(is_reserved(name));
            check(name).unwrap();
            for like in [name.to_owned(), name.to_uppercase(), name.replace('_', ".")] {
                let text = check_new(&like).unwrap_err().to_string();
                assert!(text.contains(name), "{text}");
            }
        }
        assert!(!is_reserved("__consumer_offsets2"));
    }

    #[test]
    fn names_of_devices() {
        for name in ["con", "NUL", "Aux", "prn.log", "com1", "LPT9.a.b", "com0"] {
            check_new(name).unwrap();
            let text = refuse_device(name).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains("means a device"), "{text}");
        }
        for name in ["cons", "com", "com10", "lpt-1", "con-0", "null", "a.con", "auxiliary", ".nul", "comx"] {
            refuse_device(name).unwrap();
        }
    }

    #[test]
    fn keys_of_names_that_are_too_much_alike() {
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_ne!(collision_key("a-b"), collision_key("a_b"));
        assert_ne!(collision_key("A"), collision_key("a"));
        assert_eq!(case_key("Orders"), case_key("oRDERS"));
        assert_ne!(case_key("a.b"), case_key("a_b"));
    }

    proptest! {
        #[test]
        fn a_valid_name_makes_a_safe_directory_name(name in "\\PC{0,6}|[a-zA-Z0-9._-]{0,260}") {
            if check(&name).is_ok() {
                let directory = format!("{name}-99999");
                prop_assert!(directory.len() <= 255);
                prop_assert_eq!(std::path::Path::new(&directory).components().count(), 1);
            }
            let _ = check_new(&name);
        }
    }
}
