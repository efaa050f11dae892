//! `quorum-state`: what a node of a metadata quorum has promised, one line of JSON. Read only.
//!
//! With voters that are configured (version 0) they are in the file; otherwise (version 1) in the log itself.

/// What matters of it to others than the node itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct QuorumState {
    /// No leader of an older epoch is followed.
    pub(crate) leader_epoch: u32,
    pub(crate) voters: Vec<i32>,
}

/// Reads the file. `None` if it names no epoch; then nothing in it can be relied on.
pub(crate) fn parse(file: &[u8]) -> Option<QuorumState> {
    let text = str::from_utf8(file).ok()?;
    let leader_epoch = numbers(text, "leaderEpoch").next()?;
    let voters = numbers(text, "voterId").collect();
    Some(QuorumState { leader_epoch: u32::try_from(leader_epoch).ok()?, voters })
}

/// The numbers that a name is before. None of the names here is part of a text value.
fn numbers<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = i32> + 't {
    let after = text.split('"').enumerate().filter(move |(_, part)| *part == name).map(|(at, _)| at + 1);
    let parts: Vec<_> = text.split('"').collect();
    after.filter_map(move |at| {
        let value = parts.get(at)?.trim_start().strip_prefix(':')?.trim_start();
        let end = value.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(value.len());
        value.get(..end)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::vectors_named;

    #[test]
    #[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
    fn files_of_brokers_are_read() {
        let mut seen = 0;
        for (path, file) in vectors_named(&["quorum-state"]) {
            let state = parse(&file).unwrap_or_else(|| panic!("{}", path.display()));
            assert!(state.leader_epoch > 0 && state.voters.iter().all(|voter| *voter == 1), "{state:?}");
            seen += 1;
        }
        assert!(seen > 0);
    }

    #[test]
    fn voters_and_epoch_are_found_however_the_text_is_laid_out() {
        let configured = br#"{"clusterId":"","leaderId":2,"leaderEpoch":7,"votedId":-1,"appliedOffset":0,
            "currentVoters":[{"voterId":1},{"voterId" : 2},{"voterId":30}],"data_version":0}"#;
        let expected = QuorumState { leader_epoch: 7, voters: vec![1, 2, 30] };
        assert_eq!(parse(configured), Some(expected));
        let noted = br#"{"leaderId":-1,"leaderEpoch":2,"votedId":1,"votedDirectoryId":"x","data_version":1}"#;
        assert_eq!(parse(noted), Some(QuorumState { leader_epoch: 2, voters: vec![] }));
        for garbage in [
            &b""[..],
            b"{}",
            b"\xff",
            b"\"leaderEpoch\"",
            b"\"leaderEpoch\":",
            b"\"leaderEpoch\":-1",
            b"\"leaderEpoch\":99999999999",
        ] {
            assert_eq!(parse(garbage), None);
        }
    }
}
