//! Texts with variables and commands in them as commands of a shell: references, in which no value stands.

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it is.
    Text(String),
    /// A variable of whoever deploys, which must be set, or has a default.
    Variable { name: String, default: Option<String> },
    /// What a command prints: its parts, which make one text that a shell reads.
    Command(Vec<Part>),
}

/// Characters that mean something to a shell and nothing to a list of words.
const META: &str = "$`|&;<>()*?[]#~{}!\n";

/// The reference to a value that is made of these parts. None where it would have to be on several lines.
pub(crate) fn reference(parts: &[Part]) -> Option<String> {
    let script = match parts {
        [Part::Variable { name, default: None }] => return Some(format!("env://{name}")),
        [Part::Command(parts)] => {
            if let [Part::Text(command)] = parts.as_slice()
                && is_plain(command.trim())
            {
                return Some(format!("cmd://{}", command.trim()));
            }
            command(parts, &mut 0)
        }
        parts => {
            let (before, text) = quoted(parts, &mut 0);
            format!("{before}printf %s \"{text}\"")
        }
    };
    let is_one_line = !script.contains(char::is_control);
    is_one_line.then(|| format!("cmd://sh -c '{}'", script.replace('\'', "'\\''")))
}

/// Whether a command is the same without a shell.
pub(crate) fn is_plain(command: &str) -> bool {
    let has_meta = command.contains(|c| META.contains(c));
    let words = if has_meta { None } else { shlex::split(command) };
    // NAME=value in front of a program is a variable for it.
    words.and_then(|words| words.into_iter().next()).is_some_and(|program| !program.contains('='))
}

/// A command of these parts, as a shell reads it.
fn command(parts: &[Part], taken: &mut usize) -> String {
    if let [Part::Text(command)] = parts {
        return command.trim().to_owned();
    }
    let (before, text) = quoted(parts, taken);
    format!("{before}eval \"{text}\"")
}

/// The parts as they stand between double quotes, and what comes before that: each command in an assignment of its own, whose status
/// is the command's. Anywhere else it would be lost.
fn quoted(parts: &[Part], taken: &mut usize) -> (String, String) {
    let (mut before, mut text) = (String::new(), String::new());
    for part in parts {
        match part {
            Part::Text(part) => text += &escaped(part),
            Part::Variable { name, default: None } => text += &format!("${{{name}?}}"),
            Part::Variable { name, default: Some(default) } => {
                text += &format!("${{{name}-{}}}", in_braces(default));
            }
            Part::Command(parts) => {
                *taken += 1;
                let name = format!("part{taken}");
                before += &format!("{name}=$({}) && ", command(parts, taken));
                text += &format!("${{{name}}}");
            }
        }
    }
    (before, text)
}

/// A text as it stands behind the name of a variable, in braces between double quotes.
pub(crate) fn in_braces(text: &str) -> String {
    escaped(text).replace('}', "\\}")
}

/// A text as it stands between double quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '"' | '$' | '`') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The words of a command that no shell has to read. None where one would.
pub(crate) fn words(command: &str) -> Option<Vec<String>> {
    let words = shlex::split(command)?;
    // In quotes they mean nothing to a shell either, but for $ and ` in double ones.
    (!has_bare_meta(command)).then_some(words)
}

fn has_bare_meta(command: &str) -> bool {
    let (mut quote, mut chars) = (None, command.chars());
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => drop(chars.next()),
            (_, '$' | '`') => return true,
            (None, '\'' | '"') => quote = Some(c),
            (None, c) if META.contains(c) && !matches!(c, '{' | '}' | '!') => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    /// What the command of a reference prints, as whoever deploys runs it: in words, without a shell around it.
    fn printed(parts: &[Part]) -> String {
        let reference = reference(parts).unwrap();
        let words = shlex::split(reference.strip_prefix("cmd://").unwrap()).unwrap();
        let output =
            Command::new(&words[0]).args(&words[1..]).env("SET", "a \"$b").env_remove("UNSET").output();
        let output = output.unwrap();
        assert!(output.status.success(), "{reference}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_variable_or_a_command_alone_is_itself() {
        assert_eq!(reference(&[Part::Variable { name: "X".into(), default: None }]).unwrap(), "env://X");
        let command = |command: &str| reference(&[Part::Command(vec![text(command)])]).unwrap();
        assert_eq!(command("op read 'op://Shop/db one'"), "cmd://op read 'op://Shop/db one'");
        assert_eq!(command("cat ~/key | head -1"), "cmd://sh -c 'cat ~/key | head -1'");
        assert_eq!(command("A=b program"), "cmd://sh -c 'A=b program'");
    }

    #[test]
    fn a_shell_makes_of_the_rest_what_it_says() {
        let set = || Part::Variable { name: "SET".into(), default: None };
        let hostile = "x'y\"z $HOME `id` \\ } !";
        assert_eq!(printed(&[text(hostile), set(), text(hostile)]), format!("{hostile}a \"$b{hostile}"));
        let default = Part::Variable { name: "UNSET".into(), default: Some("d\"$}".into()) };
        assert_eq!(printed(&[text("<"), default, text(">")]), "<d\"$}>");
        assert_eq!(
            printed(&[text("<"), Part::Command(vec![text("printf '%s' \"1 2\"")]), text(">")]),
            "<1 2>"
        );
        // The text that the inner one prints is read by the shell of the outer one.
        let inner = Part::Command(vec![text("printf '%s' '\\$x'")]);
        assert_eq!(printed(&[Part::Command(vec![text("printf '%s-%s' one "), inner])]), "one-$x");
    }

    #[test]
    fn a_command_that_fails_in_the_middle_fails_the_whole() {
        let run = |command: &str| Part::Command(vec![text(command)]);
        for parts in [
            vec![text("a"), run("false")],
            vec![run("false"), text("a"), run("true")],
            vec![Part::Command(vec![text("printf %s "), run("false")])],
            vec![text("a"), Part::Command(vec![text("printf %s "), run("false"), run("true")]), run("true")],
        ] {
            let reference = reference(&parts).unwrap();
            let words = shlex::split(reference.strip_prefix("cmd://").unwrap()).unwrap();
            let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
            assert!(!output.status.success(), "{reference}");
        }
    }

    #[test]
    fn what_a_shell_would_have_to_read_is_no_list_of_words() {
        assert_eq!(words("bin/jobs -q 'a b'").unwrap(), ["bin/jobs", "-q", "a b"]);
        assert_eq!(words("sh -c \"a && b\"").unwrap(), ["sh", "-c", "a && b"]);
        for command in ["a && b", "a $B", "a \"$B\"", "a | b", "a > b", "'a"] {
            assert_eq!(words(command), None, "{command}");
        }
    }
}
