//! Links on the pages that leave the repository, for crates.io and docs.rs: a path beside the page leads nowhere there.

use std::path::Path;

/// Pages, and whether rustdoc makes them: then a link can name an item.
const PAGES: [(&str, bool); 8] = [
    ("README.md", false),
    ("cli/README.md", false),
    ("CHANGELOG.md", false),
    ("docs/differences.md", false),
    ("src/guide.md", true),
    ("docs/durability.md", true),
    ("docs/kafka.md", true),
    ("docs/format.md", true),
];
const MODULES: &str = "https://docs.rs/stratalog/latest/stratalog/";
const SOURCES: &str = "https://docs.rs/crate/stratalog/latest/source/";

/// What is between `](` and `)`.
fn targets(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// Headings as they are linked to.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let anchor =
        |heading: &str| heading.trim_matches(['#', ' ']).to_lowercase().chars().filter(kept).collect();
    headings.map(|heading| -> String { anchor(heading) }).map(|heading| heading.replace(' ', "-")).collect()
}

/// Why a link does not lead where it is to lead.
fn wrong(
    target: &str,
    page: &str,
    is_made_by_rustdoc: bool,
    library: &str,
    package: &str,
) -> Option<&'static str> {
    if let Some(anchor) = target.strip_prefix('#') {
        return (!anchors(page).iter().any(|heading| heading == anchor))
            .then_some("no heading has this name");
    }
    if let Some(module) = target.strip_prefix(MODULES) {
        let module = module.split('#').next().unwrap_or_default().trim_end_matches('/');
        let is_there = module.is_empty() || library.contains(&format!("pub mod {module} {{"));
        return (!is_there).then_some("the library has no such module");
    }
    if let Some(file) = target.strip_prefix(SOURCES) {
        let folder = file.split('/').next().unwrap_or_default();
        let is_packed = [file, folder].iter().any(|one| package.contains(&format!("\"/{one}\"")));
        return (!is_packed || !Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists())
            .then_some("the package has no such file");
    }
    let is_item = is_made_by_rustdoc && target.starts_with("crate::");
    (!is_item && !target.starts_with("https://")).then_some("a path leads nowhere outside of the repository")
}

#[test]
fn links_lead_somewhere_on_crates_io_and_docs_rs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (library, package) = (read("src/lib.rs"), read("Cargo.toml"));
    let mut found = 0;
    for (path, is_made_by_rustdoc) in PAGES {
        let page = read(path);
        for target in targets(&page) {
            found += 1;
            let why = wrong(target, &page, is_made_by_rustdoc, &library, &package);
            assert_eq!(why, None, "{path} links to {target}");
        }
    }
    assert!(found > 60, "{found} links");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = "# A page\n## To be, or not\n";
    let is_wrong = |target: &str, is_made_by_rustdoc| {
        wrong(target, page, is_made_by_rustdoc, "pub mod guide {}", "include = [\"/docs\", \"/README.md\"]")
            .is_some()
    };
    for target in [
        "docs/kafka.md",
        "../README.md",
        "#nothing",
        "crate::EventLog",
        "http://docs.rs",
        "https://docs.rs/stratalog/latest/stratalog/format/",
        "https://docs.rs/crate/stratalog/latest/source/Cargo.lock",
        "https://docs.rs/crate/stratalog/latest/source/docs/nothing.md",
    ] {
        assert!(is_wrong(target, false), "{target}");
    }
    for target in [
        "#to-be-or-not",
        "https://semver.org/",
        "https://docs.rs/stratalog/latest/stratalog/guide/#groups",
        "https://docs.rs/crate/stratalog/latest/source/docs/kafka.md",
    ] {
        assert!(!is_wrong(target, false), "{target}");
    }
    assert!(!is_wrong("crate::EventLog", true));
}
