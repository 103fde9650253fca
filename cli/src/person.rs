//! Who gives the command.

use nix::unistd::{Uid, User, gethostname};

/// `user@machine`, as the journal has it: the person behind sudo, where there is one.
pub(crate) fn by() -> String {
    let behind_sudo = std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    let account = || User::from_uid(Uid::current()).ok().flatten().map(|user| user.name);
    let user = behind_sudo.or_else(account).unwrap_or_else(|| Uid::current().to_string());
    let machine =
        gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "?".to_owned());
    format!("{user}@{machine}")
}
