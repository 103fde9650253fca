//! What names tell: of secrets, of models, of programs.

use std::path::Path;

/// How the names of secret variables end.
const SECRET_ENDS: [&str; 5] = ["TOKEN", "_KEY", "APIKEY", "PASSWD", "CREDENTIALS"];

/// What else is in the names of secret variables.
const SECRET_PARTS: [&str; 2] = ["PASSWORD", "SECRET"];

/// What shows that a variable holds no secret, although its name sounds so: Rails has `SECRET_KEY_BASE_DUMMY`.
const HARMLESS_ENDS: [&str; 5] = ["_PUBLIC_KEY", "_DUMMY", "_FILE", "_PATH", "_URL"];

/// Files that hold secrets.
const SECRET_FILES: [&str; 8] =
    [".env", "id_rsa", "id_ed25519", "id_ecdsa", "master.key", ".npmrc", ".netrc", "credentials.json"];

/// How files that hold private keys end.
const KEY_ENDS: [&str; 4] = [".pem", ".p12", ".pfx", "_rsa"];

/// How files of models end.
const MODEL_ENDS: [&str; 7] = [".safetensors", ".gguf", ".ggml", ".onnx", ".pt", ".pth", ".ckpt"];

/// Model files whose end says nothing.
const MODEL_FILES: [&str; 2] = ["pytorch_model.bin", "model.bin"];

/// Commands that fetch models.
const MODEL_FETCHES: [&str; 4] =
    ["huggingface-cli download", "hf download", "snapshot_download(", "ollama pull"];

/// Programs that end at once on SIGTERM, or don't end at all, and what they wait for: nginx(8), php-fpm(8), httpd(8), uWSGI's
/// "Signals for controlling uWSGI".
const SIGNALS: [(&str, &str); 6] = [
    ("nginx", "SIGQUIT"),
    ("php-fpm", "SIGQUIT"),
    ("httpd", "SIGWINCH"),
    ("httpd-foreground", "SIGWINCH"),
    ("apache2", "SIGWINCH"),
    ("uwsgi", "SIGINT"),
];

/// Whether a variable of that name holds a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let sounds_so = SECRET_ENDS.iter().any(|end| name.ends_with(end))
        || SECRET_PARTS.iter().any(|part| name.contains(part));
    sounds_so && !HARMLESS_ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether a file of that path holds secrets.
pub(crate) fn holds_secrets(path: &str) -> bool {
    let name = file_name(path);
    let is_env =
        name.strip_prefix(".env.").is_some_and(|kind| !["example", "sample", "test"].contains(&kind));
    is_env || SECRET_FILES.contains(&name) || KEY_ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether a file of that path, or behind that URL, is a model.
pub(crate) fn is_model(path: &str) -> bool {
    let name = file_name(path.split(['?', '#']).next().unwrap_or(path));
    MODEL_FILES.contains(&name) || MODEL_ENDS.iter().any(|end| name.ends_with(end))
}

/// The models that a command fetches: URLs of them, and commands that do nothing else.
pub(crate) fn models_in(command: &str) -> impl Iterator<Item = &str> {
    let words = command.split(|c: char| c.is_whitespace() || "\"'();|&<>".contains(c));
    let urls = words.filter(|word| word.contains("://") && is_model(word));
    urls.chain(MODEL_FETCHES.into_iter().filter(|fetch| command.contains(fetch)))
}

/// The signal that a program needs to end in peace, where that isn't SIGTERM.
pub(crate) fn signal_of(program: &str) -> Option<&'static str> {
    SIGNALS.iter().find(|(name, _)| *name == program).map(|(_, signal)| *signal)
}

fn file_name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}
