//! The patterns of a `.dockerignore` file, by the rules of Docker: not those of Git.
//!
//! The rules are those of the Dockerfile reference ("dockerignore file"): patterns are rooted at the context, `*` stops at a
//! slash and `**` doesn't, a pattern that matches a folder matches all in it, `!` makes an exception, and the last pattern
//! that matches decides.

use std::path::{Component, Path};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// What never belongs into a context unless an exception says so: Git's own folder changes with every command, and Docker
/// leaves it out of contexts that come from Git, too. Submodules have a file of that name.
const ALWAYS: [&str; 2] = [".git", "**/.git"];

/// The patterns of one context.
#[derive(Debug)]
pub(crate) struct Patterns {
    set: GlobSet,
    /// Of each pattern of the set, whether it is an exception.
    exceptions: Vec<bool>,
}

impl Patterns {
    /// Reads the lines of a `.dockerignore` file. `also` are paths left out before any line of it.
    ///
    /// # Errors
    /// A line that is no pattern.
    pub(crate) fn parse(text: &str, also: &[&str]) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        let mut exceptions = Vec::new();
        let before =
            ALWAYS.map(str::to_owned).into_iter().chain(also.iter().map(|path| globset::escape(path)));
        let lines = text.trim_start_matches('\u{feff}').lines().filter(|line| !line.starts_with('#'));
        for line in before.chain(lines.map(|line| line.trim().to_owned())) {
            let (exception, pattern) =
                line.strip_prefix('!').map_or((false, line.as_str()), |rest| (true, rest.trim()));
            let pattern = cleaned(pattern);
            if pattern.is_empty() {
                continue;
            }
            // Braces mean nothing to Docker.
            let pattern = pattern.replace('{', "[{]").replace('}', "[}]");
            set.add(GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build()?);
            exceptions.push(exception);
        }
        Ok(Self { set: set.build()?, exceptions })
    }

    /// Whether `path`, relative to the context, is left out.
    pub(crate) fn exclude(&self, path: &Path) -> bool {
        let last = path
            .ancestors()
            .filter(|part| !part.as_os_str().is_empty())
            .flat_map(|part| self.set.matches(part))
            .max();
        last.and_then(|index| self.exceptions.get(index)).is_some_and(|exception| !exception)
    }

    /// Whether something in a folder that is left out may be wanted all the same.
    pub(crate) fn have_exceptions(&self) -> bool {
        self.exceptions.contains(&true)
    }
}

/// A pattern without `.`, `..`, doubled, leading and trailing slashes, as Go's `path.Clean` makes it.
fn cleaned(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(pattern).components() {
        match component {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    parts.join("/")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The file, a path, and whether Docker leaves the path out.
    const TABLE: &[(&str, &str, bool)] = &[
        ("", "src/main.rs", false),
        ("", ".git/HEAD", true),
        ("!.git", ".git/HEAD", false),
        ("node_modules", "node_modules/a/b.js", true),
        ("node_modules", "web/node_modules/a.js", false),
        ("**/node_modules", "web/node_modules/a.js", true),
        ("**/node_modules", "node_modules/a.js", true),
        ("/log", "log/a", true),
        ("log/", "log/a", true),
        ("./tmp//cache", "tmp/cache/x", true),
        ("a/../b", "b", true),
        (".", "a", false),
        ("*.md", "README.md", true),
        ("*.md", "docs/README.md", false),
        ("*/*.md", "docs/README.md", true),
        ("*/temp*", "dir/temporary/x", true),
        ("temp?", "tempa", true),
        ("temp?", "temp", false),
        ("**/*.go", "a/b/c.go", true),
        ("docs/**", "docs/a", true),
        ("docs/**", "docs", false),
        ("*.md\n!README.md", "README.md", false),
        ("*.md\n!README.md", "NEWS.md", true),
        // The last pattern that matches decides, whichever is longer.
        ("!README.md\n*.md", "README.md", true),
        ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
        ("*.md\n!README*.md\nREADME-secret.md", "README-a.md", false),
        ("docs\n!docs/api", "docs/api/x.html", false),
        ("docs\n!docs/api", "docs/x.html", true),
        ("!docs/api\ndocs", "docs/api/x.html", true),
        ("*\n!src", "src/a/b.rs", false),
        ("*\n!src", "Cargo.toml", true),
        ("*\n!**/*.rb", "app/models/user.rb", false),
        ("# a comment\n  spaced  ", "spaced", true),
        ("# a comment", "# a comment", false),
        ("a{b,c}", "ab", false),
        ("a{b,c}", "a{b,c}", true),
        ("[ab].txt", "a.txt", true),
        ("[^ab].txt", "c.txt", true),
        ("\\!important", "!important", true),
        ("log\r\ntmp\r\n", "log/x", true),
        ("\u{feff}log", "log", true),
    ];

    #[test]
    fn paths_are_left_out_as_docker_does() {
        for (file, path, excluded) in TABLE {
            let patterns = Patterns::parse(file, &[]).unwrap();
            assert_eq!(patterns.exclude(Path::new(path)), *excluded, "{file:?} on {path}");
        }
    }

    #[test]
    fn the_deploy_file_stays_out_unless_asked_for() {
        let patterns = Patterns::parse("", &["cutover.yaml"]).unwrap();
        assert!(patterns.exclude(Path::new("cutover.yaml")));
        let patterns = Patterns::parse("!cutover.yaml", &["cutover.yaml"]).unwrap();
        assert!(!patterns.exclude(Path::new("cutover.yaml")));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(Patterns::parse("a[", &[]).is_err());
    }
}
