//! `prometheus` and `queries` in the section `canary.verdict`: who is asked beside the proxies, and what.

use cutover_verdict::{Condition, Limit, Query, Ratio};

use super::error::{Problem, Problems};
use super::node::Entry;
use super::section::Section;
use super::text::{filled, literal, web_url};
use super::units::whole;
use crate::{Login, MetricsServer, Names, Webhook};

/// Bad answers in a row that are enough.
const STRIKES: usize = 2;

/// The metrics server.
pub(super) fn metrics_server(mut section: Section<'_>, problems: &mut Problems) -> Option<MetricsServer> {
    for key in ["url", "password", "token"] {
        if let Some(node) = section.node(key) {
            problems.hide(node);
        }
    }
    let url = section.required("url", web_url, problems);
    let (path, place) = (section.path_of("token"), section.place);
    let username = section.value("username", literal, problems);
    let password = section.value("password", str::parse, problems);
    let token = section.value("token", str::parse, problems);
    let asked = ["username", "password"].map(|key| section.entries.iter().any(|entry| entry.key == key));
    let has_token = section.entries.iter().any(|entry| entry.key == "token");
    section.done(problems);
    let login = match (asked, has_token) {
        ([true, true], false) => {
            username.zip(password).map(|(username, password)| Login::Basic { username, password })
        }
        ([false, false], _) => token.map(Login::Bearer),
        _ => {
            let wrong =
                Problem::new(&path, place, "it is entered by `username` and `password`, or by a `token`");
            problems.add(wrong);
            None
        }
    };
    Some(MetricsServer { url: url?, login })
}

/// The queries by their names, each perhaps with who answers it.
pub(super) fn queries(
    section: &Section<'_>,
    has_metrics: bool,
    problems: &mut Problems,
) -> Vec<(Query, Option<Webhook>)> {
    let mut read = |entry: &Entry| {
        let path = section.path_of(&entry.key);
        let part = Section::of(path, &entry.node, problems)?;
        query(&entry.key, part, has_metrics, problems)
    };
    section.entries.iter().filter_map(&mut read).collect()
}

fn query(
    name: &str,
    mut section: Section<'_>,
    has_metrics: bool,
    problems: &mut Problems,
) -> Option<(Query, Option<Webhook>)> {
    for key in ["webhook", "key"] {
        if let Some(node) = section.node(key) {
            problems.hide(node);
        }
    }
    let (path, place) = (section.path.clone(), section.place);
    let mut wrong = Vec::new();
    let asked = section.entries.iter().any(|entry| entry.key == "webhook");
    let strikes = section.value("strikes", whole(1..=100), problems).unwrap_or(STRIKES as u64);
    let strikes = usize::try_from(strikes).unwrap_or(STRIKES);
    let read = if asked {
        let url = section.value("webhook", web_url, problems);
        let key = section.value("key", str::parse, problems);
        url.map(|url| {
            let query = Query {
                name: name.to_owned(),
                expression: url.clone(),
                condition: Condition::Judged,
                strikes,
            };
            (query, Some(Webhook { query: name.to_owned(), url, key }))
        })
    } else {
        if let Some(node) = section.node("key") {
            let unused =
                Problem::new(&section.path_of("key"), node.place, "nobody is sent what it would sign");
            problems.add(unused.hint("name who judges, as in `webhook: https://…`, or leave it out"));
        }
        let expression = section.required("query", filled, problems);
        let conditions = [
            section.value("at_most", number, problems).map(Condition::AtMost),
            section.value("at_least", number, problems).map(Condition::AtLeast),
            section.section("beside", problems).map(|part| beside(part, problems)),
        ];
        let named = ["at_most", "at_least", "beside"]
            .iter()
            .filter(|key| section.entries.iter().any(|entry| entry.key == **key))
            .count();
        if named != 1 {
            wrong.push("which answers are good? one of `at_most`, `at_least` and `beside`".to_owned());
        }
        let condition = conditions.into_iter().flatten().next();
        let differs = expression.as_deref().map(Names::check);
        match (differs, condition) {
            (Some(Err(unknown)), _) => wrong.push(unknown.to_string()),
            (Some(Ok(false)), Some(Condition::Beside { .. })) => {
                wrong.push("it asks the same of both versions: name one, as in {{version}}".to_owned());
            }
            _ => {}
        }
        if !has_metrics {
            wrong.push("nobody is there to be asked: `prometheus: {url: …}` beside `queries`".to_owned());
        }
        expression.zip(condition).map(|(expression, condition)| {
            (Query { name: name.to_owned(), expression, condition, strikes }, None)
        })
    };
    section.done(problems);
    let is_right = wrong.is_empty();
    wrong.into_iter().for_each(|message| problems.add(Problem::new(&path, place, message)));
    read.filter(|_| is_right)
}

fn beside(mut section: Section<'_>, problems: &mut Problems) -> Condition {
    let condition = Condition::Beside {
        ratio: section.value("ratio", str::parse::<Ratio>, problems).unwrap_or(Ratio::ONE),
        difference: section.value("difference", number, problems).unwrap_or_default(),
    };
    section.done(problems);
    condition
}

fn number(text: &str) -> Result<Limit, String> {
    let number: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    Limit::try_from(number).map_err(|error| error.to_string())
}
