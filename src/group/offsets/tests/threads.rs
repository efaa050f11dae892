use std::thread;

use super::*;

/// Groups whose records are in one partition.
fn neighbours(count: usize) -> Vec<String> {
    let names = (0..).map(|n| format!("group-{n}")).filter(|name| group_partition(name, PARTITIONS) == 7);
    names.take(count).collect()
}

#[test]
fn groups_of_one_partition_commit_side_by_side() {
    const COMMITS: u64 = 300;
    let fixture = Fixture::new();
    let groups = neighbours(4);
    thread::scope(|scope| {
        for (n, group) in groups.iter().enumerate() {
            let (offsets, fixture) = (&fixture.offsets, &fixture);
            scope.spawn(move || {
                for offset in 1..=COMMITS {
                    let positions = [Position::new(("t", 0), offset), Position::new(("t", 1), offset + 1)];
                    let level =
                        if n == 0 && offset % 50 == 0 { Durability::Synced } else { Durability::Buffered };
                    offsets.commit(group, &positions, NOW, level).unwrap();
                    assert_eq!(
                        fixture.offset(group, "t", 0),
                        Some(offset),
                        "one's own commit is seen at once"
                    );
                }
            });
        }
        // Who only asks sees offsets that never go back, and both of a commit or none.
        for group in &groups {
            let fixture = &fixture;
            scope.spawn(move || {
                let mut last = 0;
                while last < COMMITS {
                    let all = fixture.offsets.of_group(group).unwrap();
                    if let [(_, first), (_, second)] = &all[..] {
                        assert_eq!(first.offset + 1, second.offset);
                        assert!(first.offset >= last);
                        last = first.offset;
                    } else {
                        assert!(all.is_empty());
                    }
                }
            });
        }
    });
    assert_eq!(fixture.log_end(&groups[0]), 4 * 2 * COMMITS);
    let fixture = fixture.reopened();
    for group in &groups {
        assert_eq!(fixture.all_of(group), [format!("t-0: {COMMITS}"), format!("t-1: {}", COMMITS + 1)]);
    }
}

#[test]
fn the_topic_is_made_once_and_read_once() {
    let fixture = Fixture::new();
    let groups = neighbours(8);
    thread::scope(|scope| {
        for (n, group) in (1..).zip(&groups) {
            let fixture = &fixture;
            scope.spawn(move || fixture.commit(group, "t", 0, n));
        }
    });
    let fixture = fixture.reopened();
    thread::scope(|scope| {
        for (n, group) in (1..).zip(&groups) {
            let fixture = &fixture;
            scope.spawn(move || {
                assert_eq!(fixture.offset(group, "t", 0), Some(n));
                fixture.commit(group, "t", 0, n + 1);
            });
        }
    });
    assert_eq!(fixture.offsets.groups().unwrap().len(), groups.len());
    assert_eq!(fixture.log_end(&groups[0]), 16);
}
