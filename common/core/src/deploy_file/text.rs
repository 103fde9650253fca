//! Texts that must have a certain form.

use crate::HostName;
use crate::host_spec::is_user;

/// A text that can't be used where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidText {
    #[error("empty: give it a value, or leave the key out")]
    Empty,
    #[error("'{0}' is not a path of a URL: it begins with / and has no spaces")]
    UrlPath(String),
    #[error(
        "'{0}' can't be a host: write an IP address, or a DNS name of a-z, 0-9, - and ., with *. in front for all \
         names below it"
    )]
    ProxyHost(String),
    #[error("'{0}' is not a path prefix: write it as in /api, in whole segments, without //, .., ? and #")]
    PathPrefix(String),
    #[error(
        "'{0}' is not the directory of an ACME server: write its URL, as in https://ca.example.com/directory"
    )]
    Directory(String),
    #[error("'{0}' is not an email address: write one, as in ops@example.com")]
    Email(String),
    #[error("'{0}' is not an image: write it as in ghcr.io/acme/hello:1.2")]
    Image(String),
    #[error("'{0}' has a variable in it, which is not expanded: write the value itself")]
    Variable(String),
    #[error("'{0}' is not a file inside the context: write a path relative to it, without ..")]
    Inside(String),
    #[error("'{0}' is not a user: letters, digits, _, - and ., no - first")]
    User(String),
    #[error(
        "'{0}' is not a user: write a name or a number, or two with a colon between, as in \"1000:1000\""
    )]
    UserGroup(String),
    #[error(
        "'{0}' is not a name of an environment variable: letters, digits and underscores, no digit first"
    )]
    VariableName(String),
    #[error(
        "not the URL of a Git repository: write it as in git@github.com:acme/hello.git or https://github.com/acme/hello.git, \
         without a password, or `.` for the one that this file is in"
    )]
    GitUrl,
    #[error("'{0}' is not a branch, a tag or a commit")]
    GitReference(String),
    #[error(
        "'{0}' is not a registry: write its host, and its port where it has one, as in ghcr.io or localhost:5000"
    )]
    Server(String),
    #[error(
        "'{0}' is not a repository: write its name without the registry's and without a tag, in lower case, as in acme/hello"
    )]
    Repository(String),
    #[error(
        "not the address of a server: write its URL, as in https://prometheus.example.com, without a password"
    )]
    WebUrl,
    #[error("'{0}' is not an id of a mount: letters, digits, _, - and .")]
    MountId(String),
    #[error(
        "'{0}' can't be a label: write it as in com.example.team, of letters, digits, ., -, / and _; those that begin with \
         cutover. are set by Cutover"
    )]
    Label(String),
    #[error("'{0}' is not a platform: write it as in linux/amd64 or linux/arm64/v8")]
    Platform(String),
    #[error("quotes are not read here: write the command as a list, as in [sh, -c, \"…\"]")]
    Quotes,
}

/// Any text that says something.
pub(super) fn filled(text: &str) -> Result<String, InvalidText> {
    if text.trim().is_empty() { Err(InvalidText::Empty) } else { Ok(text.to_owned()) }
}

/// A text in which nothing waits to be filled in.
pub(super) fn literal(text: &str) -> Result<String, InvalidText> {
    let variable = text.contains("${") || text.contains("<%");
    if variable { Err(InvalidText::Variable(text.to_owned())) } else { Ok(text.to_owned()) }
}

/// The path of a URL.
pub(super) fn url_path(text: &str) -> Result<String, InvalidText> {
    let valid = text.starts_with('/') && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::UrlPath(text.to_owned())) }
}

/// A host that a service answers to, or with `*.` in front of a DNS name all that are below it.
pub(super) fn proxy_host(text: &str) -> Result<String, InvalidText> {
    let is_host = |name: &str| name.parse::<HostName>().is_ok();
    let valid = text
        .strip_prefix("*.")
        .map_or_else(|| is_host(text), |below| is_host(below) && below.parse::<std::net::IpAddr>().is_err());
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::ProxyHost(text.to_owned())) }
}

/// The beginning of the path of a URL, in whole segments (RFC 3986, 3.3), without a slash at its end.
pub(super) fn path_prefix(text: &str) -> Result<String, InvalidText> {
    if text == "/" {
        return Ok(text.to_owned());
    }
    let of_segment = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&b);
    let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(of_segment);
    let path = text.strip_suffix('/').unwrap_or(text);
    let valid = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
    if valid { Ok(path.to_owned()) } else { Err(InvalidText::PathPrefix(text.to_owned())) }
}

/// The URL of an ACME server's directory: HTTPS, as RFC 8555 (6.1) wants it.
pub(super) fn acme_directory(text: &str) -> Result<String, InvalidText> {
    let rest = text.strip_prefix("https://").filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
    let valid = rest.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_graphic()));
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::Directory(text.to_owned())) }
}

/// An email address that a `mailto` URL can hold as it is, with no other beside it (RFC 8555, 7.3).
pub(super) fn email(text: &str) -> Result<String, InvalidText> {
    let (user, domain) = text.split_once('@').unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
    let valid = [user, domain].into_iter().all(|part| !part.is_empty() && part.bytes().all(plain));
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::Email(text.to_owned())) }
}

/// The name of an image, with its tag or digest. The Docker Engine has the last word on it.
pub(super) fn image(text: &str) -> Result<String, InvalidText> {
    if text.contains('$') {
        return Err(InvalidText::Variable(text.to_owned()));
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._/:@-".contains(&b);
    let valid = text.bytes().all(known) && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::Image(text.to_owned())) }
}

/// The path of a file inside a build context.
pub(super) fn inside(text: &str) -> Result<String, InvalidText> {
    let valid = !text.is_empty() && !text.starts_with('/') && text.split('/').all(|part| part != "..");
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::Inside(text.to_owned())) }
}

/// The id of a secret or of an SSH agent, as a Dockerfile mounts it.
pub(super) fn mount_id(text: &str) -> Result<(), InvalidText> {
    let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if valid { Ok(()) } else { Err(InvalidText::MountId(text.to_owned())) }
}

/// The key of a label (Docker's guidelines on labels). Those of Cutover are its own.
pub(super) fn label(text: &str) -> Result<(), InvalidText> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    let valid = !text.is_empty() && text.bytes().all(known) && !text.starts_with("cutover.");
    if valid { Ok(()) } else { Err(InvalidText::Label(text.to_owned())) }
}

/// An operating system, a processor architecture and perhaps its variant, in Go's words. Containers run Linux here.
pub(super) fn platform(text: &str) -> Result<String, InvalidText> {
    let word =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let parts = text.strip_prefix("linux/").map(|rest| rest.split('/').collect::<Vec<_>>());
    let valid = parts.is_some_and(|parts| parts.len() <= 2 && parts.into_iter().all(word));
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::Platform(text.to_owned())) }
}

/// The URL of a Git repository, as git-fetch(1) has them: with a scheme, or as scp has it, or a folder; none for `.`. One
/// with a password is not repeated in an error.
pub(super) fn git_url(text: &str) -> Result<Option<String>, InvalidText> {
    if text == "." {
        return Ok(None);
    }
    let word = !text.starts_with('-') && text.bytes().all(|b| b.is_ascii_graphic());
    let known = match text.split_once("://") {
        Some((scheme, rest)) => {
            let user =
                rest.split('/').next().and_then(|host| host.rsplit_once('@')).map_or("", |(user, _)| user);
            let has_password = user.contains(':') || scheme.starts_with("http") && !user.is_empty();
            ["https", "http", "ssh", "git", "file"].contains(&scheme) && !has_password
        }
        // `ext::` and the like run a command.
        None => !text.contains("::") && (text.starts_with('/') || text.contains(':')),
    };
    if word && known { Ok(Some(text.to_owned())) } else { Err(InvalidText::GitUrl) }
}

/// The URL of a server that speaks HTTP. One with a password is not repeated in an error.
pub(super) fn web_url(text: &str) -> Result<String, InvalidText> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    let valid = host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && text.bytes().all(|b| b.is_ascii_graphic());
    if valid { Ok(text.trim_end_matches('/').to_owned()) } else { Err(InvalidText::WebUrl) }
}

/// The name of a branch, a tag or a commit (git-check-ref-format(1), as far as it could be mistaken for something else).
pub(super) fn git_reference(text: &str) -> Result<String, InvalidText> {
    let valid = !text.is_empty()
        && !text.starts_with('-')
        && !text.contains("..")
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"~^:?*[\\".contains(&b));
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::GitReference(text.to_owned())) }
}

/// The host of a registry, as it stands in the names of images.
pub(super) fn server(text: &str) -> Result<String, InvalidText> {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_host =
        host.parse::<HostName>().is_ok() && (host.contains('.') || port.is_some() || host == "localhost");
    let valid = is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::Server(text.to_owned())) }
}

/// The name of a repository (OCI distribution specification, "Pulling manifests"), nearly: the registry has the last word on it.
pub(super) fn repository(text: &str) -> Result<String, InvalidText> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let component = |part: &str| {
        let ends = [part.bytes().next(), part.bytes().next_back()];
        ends.into_iter().all(|end| end.is_some_and(word))
            && part.bytes().all(|b| word(b) || b"._-".contains(&b))
    };
    let valid = text.split('/').all(component);
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::Repository(text.to_owned())) }
}

/// A user of the host.
pub(super) fn user(text: &str) -> Result<String, InvalidText> {
    if is_user(text) { Ok(text.to_owned()) } else { Err(InvalidText::User(text.to_owned())) }
}

/// A user of a container, or user:group.
pub(super) fn user_group(text: &str) -> Result<String, InvalidText> {
    let valid =
        text.split_once(':').map_or_else(|| is_user(text), |(user, group)| is_user(user) && is_user(group));
    if valid { Ok(text.to_owned()) } else { Err(InvalidText::UserGroup(text.to_owned())) }
}

/// The name of an environment variable.
pub(super) fn variable_name(text: &str) -> Result<String, InvalidText> {
    if crate::reference::is_variable(text) {
        Ok(text.to_owned())
    } else {
        Err(InvalidText::VariableName(text.to_owned()))
    }
}

/// A command as one text, split at its spaces.
pub(super) fn words(text: &str) -> Result<Vec<String>, InvalidText> {
    if text.contains(['\'', '"']) {
        return Err(InvalidText::Quotes);
    }
    filled(text)?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}
