//! Reading a Dockerfile for what may be regretted. Pure; BuildKit has the last word on what it means.

use cutover_core::Recipe;
use parse_dockerfile::{Command, Dockerfile, Instruction, Source, Stage, UnescapedString};

use crate::advice::{Advice, Concern};
use crate::suspect::{holds_secrets, is_model, is_secret, models_in, signal_of};

/// All that is to be said of a Dockerfile, in the order of its lines. `has_user` says that the deploy file names the user, so
/// that the image's own doesn't matter. A text that can't be read is nothing to advise on: the build will say so.
pub fn advise(text: &str, recipe: &Recipe, has_user: bool) -> Vec<Advice> {
    let Ok(dockerfile) = parse_dockerfile::parse(text) else { return Vec::new() };
    let Some(reader) = Reader::of(text, recipe, &dockerfile) else { return Vec::new() };
    let mut advice = reader.bases();
    advice.extend(reader.secrets());
    advice.extend(reader.models());
    advice.extend(reader.user().filter(|_| !has_user));
    advice.extend(reader.healthcheck());
    advice.extend(reader.stop_signal());
    advice.sort_by_key(|advice| advice.line);
    advice
}

/// The user that an image of it runs as, with its line; none where it says none, or one that is known only once it is built.
pub fn last_user(text: &str, recipe: &Recipe) -> Option<(usize, String)> {
    let dockerfile = parse_dockerfile::parse(text).ok()?;
    let reader = Reader::of(text, recipe, &dockerfile)?;
    let (place, user) = reader.last_user().filter(|(_, user)| !user.contains('$'))?;
    Some((reader.line(place), user.to_owned()))
}

fn is_from(instruction: &Instruction<'_>) -> bool {
    matches!(instruction, Instruction::From(_))
}

/// The stage of that name or number before `end`; without a name, the last one.
fn index_of(stages: &[Stage<'_, '_>], name: Option<&str>, end: usize) -> Option<usize> {
    let Some(name) = name else { return end.checked_sub(1) };
    let is_named = |stage: &Stage<'_, '_>| {
        stage.from.as_.as_ref().is_some_and(|(_, own)| own.value.eq_ignore_ascii_case(name))
    };
    let named = stages.iter().take(end).rposition(is_named);
    named.or_else(|| name.parse().ok().filter(|index| *index < end))
}

/// The stages that an image is made of, the last first: each begins where the next one ended.
fn chain(stages: &[Stage<'_, '_>], last: usize) -> Vec<usize> {
    let mut chain = vec![last];
    while let Some(&index) = chain.last()
        && let Some(stage) = stages.get(index)
        && let Some(before) = index_of(stages, Some(&stage.from.image.value), index)
    {
        chain.push(before);
    }
    chain
}

/// A Dockerfile, as it is read for one image.
struct Reader<'d, 't> {
    text: &'t str,
    recipe: &'d Recipe,
    dockerfile: &'d Dockerfile<'t>,
    stages: Vec<Stage<'t, 'd>>,
    /// The stages that the image is made of.
    chain: Vec<usize>,
}

impl<'d, 't> Reader<'d, 't> {
    /// None: it makes no image.
    fn of(text: &'t str, recipe: &'d Recipe, dockerfile: &'d Dockerfile<'t>) -> Option<Self> {
        let stages: Vec<Stage<'_, '_>> = match dockerfile.instructions.iter().any(is_from) {
            true => dockerfile.stages().collect(),
            false => return None,
        };
        let last = index_of(&stages, recipe.target.as_deref(), stages.len())?;
        Some(Self { text, recipe, dockerfile, chain: chain(&stages, last), stages })
    }

    fn at(&self, place: usize, concern: Concern) -> Advice {
        Advice { line: self.line(place), concern }
    }

    fn line(&self, place: usize) -> usize {
        let before = self.text.as_bytes().get(..place).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// The instructions of the image, the last first.
    fn backwards(&self) -> impl Iterator<Item = &'d Instruction<'t>> {
        let stages = self.chain.iter().filter_map(|index| self.stages.get(*index));
        stages.flat_map(|stage| stage.instructions.iter().rev())
    }

    /// Where the image's own stage begins.
    fn beginning(&self) -> usize {
        let stage = self.chain.first().and_then(|index| self.stages.get(*index));
        stage.map_or(0, |stage| stage.from.from.span.start)
    }

    /// The base image that the chain begins with.
    fn base(&self) -> Option<String> {
        self.chain.last().and_then(|index| self.stages.get(*index)).and_then(|stage| self.expanded(stage))
    }

    /// The image of a `FROM` with its variables filled in; none where one has no value here.
    fn expanded(&self, stage: &Stage<'_, '_>) -> Option<String> {
        let mut image = stage.from.image.value.to_string();
        while let Some(start) = image.find('$') {
            let (before, rest) = image.split_at(start);
            let rest = rest.trim_start_matches('$');
            let (name, after) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once('}')?,
                None => {
                    rest.split_at(rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()))
                }
            };
            let (name, usual) =
                name.split_once(":-").map_or((name, None), |(name, usual)| (name, Some(usual)));
            let value = self.recipe.args.get(name).cloned().or_else(|| self.global(name));
            let value = value.or_else(|| usual.map(str::to_owned)).filter(|value| !value.contains('$'))?;
            image = format!("{before}{value}{after}");
        }
        Some(image)
    }

    /// The default of an argument before the first stage.
    fn global(&self, name: &str) -> Option<String> {
        let args = self.dockerfile.global_args().map(|arg| arg.arguments.value.as_ref());
        args.flat_map(assignments).find(|(known, _)| *known == name).and_then(|(_, value)| value)
    }

    fn bases(&self) -> Vec<Advice> {
        let concern = |(index, stage): (usize, &Stage<'_, '_>)| {
            if index_of(&self.stages, Some(&stage.from.image.value), index).is_some() {
                return None;
            }
            let image = self.expanded(stage)?;
            let name = image.rsplit('/').next().unwrap_or(&image);
            let moves = match name.split_once(':') {
                Some((_, tag)) => tag == "latest",
                None => image != "scratch",
            };
            (moves && !image.contains('@'))
                .then(|| self.at(stage.from.from.span.start, Concern::MovingBase(image)))
        };
        self.stages.iter().enumerate().filter_map(concern).collect()
    }

    /// Secrets in any stage: its history is in the build cache, which other builds may be given.
    fn secrets(&self) -> Vec<Advice> {
        let mut advice = Vec::new();
        for instruction in &self.dockerfile.instructions {
            let (place, names) = match instruction {
                Instruction::Arg(arg) => (arg.arg.span.start, assignments(&arg.arguments.value)),
                Instruction::Env(env) => {
                    let set = assignments(&env.arguments.value);
                    (
                        env.env.span.start,
                        set.into_iter().filter(|(_, value)| value.as_deref() != Some("")).collect(),
                    )
                }
                other => {
                    let files = copied(other).into_iter().filter(|(_, file)| holds_secrets(file));
                    advice.extend(
                        files.map(|(place, file)| self.at(place, Concern::SecretFile(file.to_owned()))),
                    );
                    continue;
                }
            };
            let names = names.into_iter().filter(|(name, _)| is_secret(name));
            advice.extend(names.map(|(name, _)| self.at(place, Concern::SecretValue(name.to_owned()))));
        }
        advice
    }

    fn models(&self) -> Vec<Advice> {
        let mut advice = Vec::new();
        for instruction in self.backwards() {
            let files = copied(instruction).into_iter().filter(|(_, file)| is_model(file));
            advice.extend(files.map(|(place, file)| self.at(place, Concern::Model(file.to_owned()))));
            if let Instruction::Run(run) = instruction {
                let place = run.run.span.start;
                let mut texts = vec![words(&run.arguments)];
                texts.extend(run.here_docs.iter().map(|text| text.value.to_string()));
                let models = texts.iter().flat_map(|text| models_in(text));
                advice.extend(models.map(|model| self.at(place, Concern::Model(model.to_owned()))));
            }
        }
        advice
    }

    /// Where the last `USER` stands, and whom it names.
    fn last_user(&self) -> Option<(usize, &'d str)> {
        self.backwards().find_map(|instruction| match instruction {
            Instruction::User(user) => Some((user.user.span.start, user.arguments.value.trim())),
            _ => None,
        })
    }

    fn user(&self) -> Option<Advice> {
        match self.last_user() {
            Some((place, user)) => {
                let name = user.split(':').next().unwrap_or_default();
                let is_root = name == "root" || (!name.is_empty() && name.bytes().all(|b| b == b'0'));
                is_root.then(|| self.at(place, Concern::Root(Some(user.to_owned()))))
            }
            None => {
                // Images that run as somebody else say so in their names.
                let base = self.base().unwrap_or_default();
                let is_known = ["nonroot", "rootless", "unprivileged"].iter().any(|word| base.contains(word));
                (!is_known).then(|| self.at(self.beginning(), Concern::Root(None)))
            }
        }
    }

    fn healthcheck(&self) -> Option<Advice> {
        let has = self.backwards().any(|instruction| matches!(instruction, Instruction::Healthcheck(_)));
        (!has).then(|| self.at(self.beginning(), Concern::NoHealthcheck))
    }

    /// Only where it matters: with most programs, SIGTERM is what they wait for.
    fn stop_signal(&self) -> Option<Advice> {
        let has = self.backwards().any(|instruction| matches!(instruction, Instruction::Stopsignal(_)));
        let entrypoint = self.backwards().find_map(|instruction| match instruction {
            Instruction::Entrypoint(entrypoint) => {
                Some((entrypoint.entrypoint.span.start, &entrypoint.arguments))
            }
            _ => None,
        });
        let command = self.backwards().find_map(|instruction| match instruction {
            Instruction::Cmd(cmd) => Some((cmd.cmd.span.start, &cmd.arguments)),
            _ => None,
        });
        let (place, run) = entrypoint.or(command)?;
        let text = words(run);
        let is_shell = matches!(run, Command::Shell(_));
        if is_shell && !text.trim_start().starts_with("exec ") {
            return Some(self.at(place, Concern::ShellForm));
        }
        let mut programs = text.split_whitespace().filter(|word| *word != "exec");
        let program = programs.next().map(|path| path.rsplit('/').next().unwrap_or(path))?;
        let signal = signal_of(program).filter(|_| !has)?;
        Some(self.at(place, Concern::StopSignal { program: program.to_owned(), signal }))
    }
}

/// The files that an instruction copies, each with its place.
fn copied<'d>(instruction: &'d Instruction<'_>) -> Vec<(usize, &'d str)> {
    let (sources, place): (&[Source<'_>], usize) = match instruction {
        Instruction::Copy(copy) => (&copy.src, copy.copy.span.start),
        Instruction::Add(add) => (&add.src, add.add.span.start),
        _ => return Vec::new(),
    };
    let path = |source: &'d Source<'_>| match source {
        Source::Path(UnescapedString { value, .. }) => Some((place, value.as_ref())),
        _ => None,
    };
    sources.iter().filter_map(path).collect()
}

/// A command as one text.
fn words(command: &Command<'_>) -> String {
    match command {
        Command::Exec(words) => {
            words.value.iter().map(|word| word.value.as_ref()).collect::<Vec<_>>().join(" ")
        }
        Command::Shell(text) => text.value.to_owned(),
        _ => String::new(),
    }
}

/// The variables of an `ARG` or `ENV`, with their values: `A=1 B="x y"`, or, as in old files, `A the rest`.
fn assignments(text: &str) -> Vec<(&str, Option<String>)> {
    let mut parts = Vec::new();
    let (mut start, mut quote) = (0, None);
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, c) if c.is_whitespace() => {
                parts.push(text.get(start..index).unwrap_or_default());
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts.retain(|part| !part.is_empty());
    if let [name, _, ..] = parts.as_slice()
        && !name.contains('=')
    {
        return vec![(name, text.split_once(char::is_whitespace).map(|(_, value)| value.trim().to_owned()))];
    }
    let split =
        |part: &'_ str| part.split_once('=').map(|(_, value)| value.trim_matches(['"', '\'']).to_owned());
    parts.into_iter().map(|part| (part.split('=').next().unwrap_or(part), split(part))).collect()
}
