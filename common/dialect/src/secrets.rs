//! `.kamal/secrets`: assignments, as a dotenv file has them. Of each the reference to its value is made; a value that stands there
//! stays there.

use std::collections::BTreeMap;

use crate::shell::{self, Part};

/// Parts that one value may have, once variables of the file are written out: one that names others twice, again and again, has no end.
const MOST: usize = 1000;

/// What the files say of one destination.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    /// The files that there may be, in the order in which the later one counts.
    pub(crate) looked_at: Vec<String>,
    names: BTreeMap<String, Found>,
}

/// An assignment.
#[derive(Clone, Debug)]
struct Found {
    file: String,
    line: usize,
    /// The reference; none, and why.
    reference: Result<String, &'static str>,
    /// The value itself stands there.
    is_literal: bool,
}

/// A name that has no reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoSecret {
    /// It isn't there.
    Unknown(String),
    /// What stands there can't be read.
    Unread { file: String, line: usize, why: &'static str },
}

impl Secrets {
    /// Adds a file; what it says counts more than what was said before.
    pub(crate) fn add(&mut self, file: &str, text: Option<&str>) {
        self.looked_at.push(file.to_owned());
        let mut parts: Before = BTreeMap::new();
        for Assignment { name, value, line } in assignments(text.unwrap_or_default()) {
            let is_escaped = value.as_ref().is_ok_and(Quoted::is_escaped);
            let read = value.and_then(|value| parsed(&value, &parts));
            let is_literal =
                read.as_ref().is_ok_and(|parts| parts.iter().all(|part| matches!(part, Part::Text(_))));
            let reference = match &read {
                Err(why) => Err(*why),
                Ok(_) if is_literal => in_file(&name, is_escaped, file),
                Ok(parts) => shell::reference(parts).ok_or("a value on several lines can't be referred to"),
            };
            parts.insert(name.clone(), read.ok());
            self.names.insert(name, Found { file: file.to_owned(), line, reference, is_literal });
        }
    }

    /// The reference to a secret, and whether its value stands in the file.
    pub(crate) fn reference(&self, name: &str) -> Result<(String, bool), NoSecret> {
        let Some(found) = self.names.get(name) else {
            return Err(NoSecret::Unknown(self.looked_at.join(", ")));
        };
        match &found.reference {
            Ok(reference) => Ok((reference.clone(), found.is_literal)),
            Err(why) => Err(NoSecret::Unread { file: found.file.clone(), line: found.line, why }),
        }
    }
}

/// All assignments of a file, the last one of each name, with the references to their values, or why there is none.
pub(crate) fn all(file: &str, text: &str) -> Vec<(String, Result<String, &'static str>)> {
    let mut secrets = Secrets::default();
    secrets.add(file, Some(text));
    secrets.names.into_iter().map(|(name, found)| (name, found.reference)).collect()
}

/// `NAME=value`, and its line.
struct Assignment {
    name: String,
    value: Result<Quoted, &'static str>,
    line: usize,
}

/// A value as it stands there.
enum Quoted {
    /// In single quotes: as it is.
    Plain(String),
    /// In double quotes: what stands behind a backslash is itself, but for line breaks; variables and commands are written out.
    Double(String),
    /// Without: the same, and line breaks are letters too.
    Bare(String),
}

impl Quoted {
    /// Whether more would have to be read of it than its letters, once it is known to have neither variables nor commands.
    fn is_escaped(&self) -> bool {
        matches!(self, Self::Double(text) | Self::Bare(text) if text.contains(['$', '\\']))
    }

    /// What variables and commands are looked for in, as dotenv does it: backslashes go first, but for those in front of a $.
    fn unescaped(text: &str, keeps_breaks: bool) -> String {
        let mut unescaped = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match (c, chars.clone().next()) {
                ('\\', Some('n' | 'r')) if keeps_breaks => unescaped.push(c),
                ('\\', Some(next)) if next != '$' => {
                    unescaped.push(next);
                    chars.next();
                }
                _ => unescaped.push(c),
            }
        }
        unescaped
    }
}

/// The variables that stand before; none where one can't be read.
type Before = BTreeMap<String, Option<Vec<Part>>>;

const UNREAD: &str = "it names a variable of the file that can't be read";

fn assignments(text: &str) -> Vec<Assignment> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim_end();
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b));
        if is_name {
            all.push(Assignment { name: name.to_owned(), value: value_of(value), line: index + 1 });
        }
    }
    all
}

/// The value behind the sign, without its quotes and what is a comment.
fn value_of(text: &str) -> Result<Quoted, &'static str> {
    let text = text.trim();
    for quote in ['\'', '"'] {
        let Some(rest) = text.strip_prefix(quote) else { continue };
        let Some(end) = closing(rest, quote) else {
            return Err("quotes that are not closed in the same line are not read");
        };
        let (inside, after) = rest.split_at(end);
        let after = after.get(1..).unwrap_or_default().trim();
        if !after.is_empty() && !after.starts_with('#') {
            return Err("more stands behind the quotes");
        }
        let inside = inside.to_owned();
        return Ok(if quote == '\'' { Quoted::Plain(inside) } else { Quoted::Double(inside) });
    }
    // A comment begins behind a space, but not inside a command. Without a space it is one for Kamal, and none for Compose.
    let (mut depth, mut end, mut before) = (0_usize, text.len(), ' ');
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '#' if depth == 0 && before.is_whitespace() => {
                end = index;
                break;
            }
            '#' if depth == 0 => return Err("a # within a value without quotes is not read"),
            _ => {}
        }
        before = c;
    }
    Ok(Quoted::Bare(text.get(..end).unwrap_or_default().trim_end().to_owned()))
}

/// Where the quote is that closes: not behind a backslash, nor, for a double one, inside a command.
fn closing(text: &str, quote: char) -> Option<usize> {
    let (mut depth, mut is_escaped, mut before) = (0_usize, false, ' ');
    for (index, c) in text.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' && quote == '"' {
            is_escaped = true;
        } else if quote == '"' && c == '(' && (before == '$' || depth > 0) {
            depth += 1;
        } else if quote == '"' && c == ')' {
            depth = depth.saturating_sub(1);
        } else if c == quote && depth == 0 {
            return Some(index);
        }
        before = c;
    }
    None
}

/// The parts of a value; variables of the file that came before are written out.
fn parsed(value: &Quoted, before: &Before) -> Result<Vec<Part>, &'static str> {
    let text = match value {
        Quoted::Plain(text) => return Ok(vec![Part::Text(text.clone())]),
        Quoted::Double(text) => Quoted::unescaped(text, true),
        Quoted::Bare(text) => Quoted::unescaped(text, false),
    };
    let (mut parts, mut plain) = (Vec::new(), String::new());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        if parts.iter().map(size).sum::<usize>() > MOST {
            return Err("it names other variables too often");
        }
        // Only those in front of a $ are left.
        if let Some(after) = after.strip_prefix('$').filter(|_| c == '\\') {
            plain.push('$');
            rest = after;
            continue;
        }
        if c != '$' {
            plain.push(c);
            rest = after;
            continue;
        }
        if let Some(command) = after.strip_prefix('(') {
            let end =
                end_of_command(command).ok_or("a command that is not closed in the same line is not read")?;
            flush(&mut plain, &mut parts);
            let (command, after) = command.split_at(end);
            parts.push(Part::Command(command_parts(command, before)?));
            rest = after.get(1..).unwrap_or_default();
        } else if let Some((name, after)) = variable(after) {
            flush(&mut plain, &mut parts);
            match before.get(name) {
                Some(known) => parts.extend(known.clone().ok_or(UNREAD)?),
                None => parts.push(Part::Variable { name: name.to_owned(), default: None }),
            }
            rest = after;
        } else {
            plain.push(c);
            rest = after;
        }
    }
    flush(&mut plain, &mut parts);
    if parts.is_empty() {
        parts.push(Part::Text(String::new()));
    }
    Ok(parts)
}

/// A command: the variables of the file that it names are written out, all others are the shell's.
fn command_parts(command: &str, before: &Before) -> Result<Vec<Part>, &'static str> {
    let (mut parts, mut plain) = (Vec::new(), String::new());
    let mut rest = command;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let known =
            variable(after).filter(|_| c == '$').and_then(|(name, after)| Some((before.get(name)?, after)));
        if let Some((known, after)) = known {
            flush(&mut plain, &mut parts);
            parts.extend(known.clone().ok_or(UNREAD)?);
            rest = after;
        } else {
            plain.push(c);
            rest = after;
        }
        if parts.iter().map(size).sum::<usize>() > MOST {
            return Err("it names other variables too often");
        }
    }
    flush(&mut plain, &mut parts);
    Ok(parts)
}

fn flush(plain: &mut String, parts: &mut Vec<Part>) {
    if !plain.is_empty() {
        parts.push(Part::Text(std::mem::take(plain)));
    }
}

fn size(part: &Part) -> usize {
    1 + if let Part::Command(parts) = part { parts.iter().map(size).sum() } else { 0 }
}

/// The name of a variable behind its sign, with or without braces, and what comes after it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (text, in_braces) = text.strip_prefix('{').map_or((text, false), |rest| (rest, true));
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if in_braces { Some((name, after.strip_prefix('}')?)) } else { Some((name, after)) }
}

/// Where the parenthesis is that closes a command.
fn end_of_command(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut is_escaped) = (0_usize, None, false);
    for (index, c) in text.char_indices() {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (None | Some('"'), '\\') => is_escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return Some(index),
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A command that prints the value which a file gives a name, so that it stays where it is. It looks for the name each time, and
/// fails where that isn't there, or where a variable or a command has taken the value's place since.
fn in_file(name: &str, is_escaped: bool, file: &str) -> Result<String, &'static str> {
    if is_escaped {
        return Err("a value with $ or \\ in it can't be referred to, unless it stands in single quotes");
    }
    let pattern = name.replace('.', "[.]");
    let script = format!(
        "sub(/^[ \\t]*(export[ \\t]+)?{pattern}[ \\t]*=[ \\t]*/,\"\"){{v=$0;f=1}}\
         END{{sub(/[ \\t\\r]*$/,\"\",v);\
         if(v~/^\\047[^\\047]*\\047[ \\t]*(#.*)?$/){{split(v,a,\"\\047\");v=a[2]}}\
         else if(v~/^\"[^\"$\\\\]*\"[ \\t]*(#.*)?$/){{split(v,a,\"\\\"\");v=a[2]}}\
         else{{sub(/(^|[ \\t]+)#.*$/,\"\",v);if(v~/^[\"\\047]|[#$\\\\]/)f=0}}\
         if(!f){{print \"no value of {name} itself in \" FILENAME>\"/dev/stderr\";exit 1}}print v}}"
    );
    let file = shlex::try_quote(file).map_err(|_| "the name of the file can't stand in a command")?;
    if file.contains(char::is_control) {
        return Err("the name of the file can't stand in a command");
    }
    Ok(format!("cmd://awk '{script}' {file}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    fn of(text: &str) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add(".kamal/secrets", Some(text));
        secrets
    }

    fn reference(text: &str, name: &str) -> String {
        of(text).reference(name).unwrap().0
    }

    #[test]
    fn assignments_are_references() {
        for (line, expected) in [
            ("X=$TOKEN", "env://TOKEN"),
            ("export X=${TOKEN} # a comment", "env://TOKEN"),
            ("X=\"$TOKEN\"", "env://TOKEN"),
            ("X=$(cat config/master.key)", "cmd://cat config/master.key"),
            ("X=$(op read \"op://Shop/db/password\")", "cmd://op read \"op://Shop/db/password\""),
            ("X=$(cat key | base64)", "cmd://sh -c 'cat key | base64'"),
            ("X=postgres://app:$PASSWORD@db", "cmd://sh -c 'printf %s \"postgres://app:${PASSWORD?}@db\"'"),
            ("T=$(op token)\nX=$T", "cmd://op token"),
            (
                "S=$(kamal secrets fetch --adapter 1password A B)\nX=$(kamal secrets extract A $S)",
                "cmd://sh -c 'part1=$(kamal secrets fetch --adapter 1password A B) && eval \"kamal secrets extract A ${part1}\"'",
            ),
        ] {
            assert_eq!(reference(line, "X"), expected, "{line}");
        }
    }

    /// What the reference to a name of a file prints, or what it says on failing, once `now` stands in the file that was `text`.
    fn read(text: &str, now: &str, name: &str) -> Result<String, String> {
        let folder = std::env::temp_dir().join(format!("cutover-dialect-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("secrets");
        let mut secrets = Secrets::default();
        secrets.add(path.to_str().unwrap(), Some(text));
        let (reference, is_literal) = secrets.reference(name).unwrap();
        assert!(is_literal && !reference.contains("hunter2"), "{reference}");
        std::fs::write(&path, now).unwrap();
        let words = shlex::split(reference.strip_prefix("cmd://").unwrap()).unwrap();
        let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }

    #[test]
    fn a_value_stays_in_its_file() {
        let text = "# x\nA=hunter2\nexport B = \"two hunter2\" # of two\nC='$hunter2 \"#\\'\nD=\nE=5'hunter2\"\n\
                    F= hunter2 #no\r\nA.A=1hunter2\nG=old\nG=hunter2\n";
        for (name, expected) in [
            ("A", "hunter2"),
            ("B", "two hunter2"),
            ("C", "$hunter2 \"#\\"),
            ("D", ""),
            ("E", "5'hunter2\""),
            ("F", "hunter2"),
            ("A.A", "1hunter2"),
            ("G", "hunter2"),
        ] {
            assert_eq!(read(text, text, name).as_deref(), Ok(expected), "{name}");
        }
    }

    #[test]
    fn a_value_is_that_of_its_name_wherever_it_stands() {
        let text = "A1=hunter2\nB1=hunter2\n";
        assert_eq!(read(text, "NEW=x\nB1=2\n\nA1=1\n", "A1").as_deref(), Ok("1"));
        assert_eq!(read(text, "# B1=3\nB1='2'\n", "B1").as_deref(), Ok("2"));
        for now in
            ["A1=1\nXB1=2\nB1X=3\n#B1=4\n", "B1=$A1\n", "B1=\"$(cat x)\"\n", "B1=\"a\n", "B1=a#b\n", ""]
        {
            let told = read(text, now, "B1").unwrap_err();
            assert!(told.contains("no value of B1 itself in "), "{now}: {told}");
        }
    }

    #[test]
    fn backslashes_and_comments_are_read_as_dotenv_does() {
        for (line, expected) in [
            (r#"X="a\nb\"$T""#, r#"a\nb"t"#),
            (r"X=a\nb$T", "anbt"),
            (r"X=\$S$T", "$St"),
            (r"X=\\$S$T", "$St"),
            (r#"X="$(printf '%s' \"a b\")""#, "a b"),
            (r"X=<$T #no", "<t"),
        ] {
            let reference = reference(line, "X");
            let words = shlex::split(reference.strip_prefix("cmd://").unwrap()).unwrap();
            let output =
                Command::new(&words[0]).args(&words[1..]).env("T", "t").env("S", "s").output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{line}: {reference}");
        }
    }

    #[test]
    fn what_is_not_there_or_cannot_be_read_is_told() {
        let unread = |text: &str| matches!(of(text).reference("X"), Err(NoSecret::Unread { line: 1, .. }));
        assert!(unread("X=\"a\nb\""));
        assert!(unread("X=$(cat a"));
        assert!(unread("X=a\\nb"));
        assert!(unread("X=a#b"));
        assert!(unread("X=a$T#b"));
        assert_eq!(of("Y=1").reference("X"), Err(NoSecret::Unknown(".kamal/secrets".to_owned())));
        let doubling: String = (1..40).map(|n| format!("A{n}=$A{}$A{}\n", n - 1, n - 1)).collect();
        assert!(of(&doubling).reference("A39").is_err());
    }
}
