//! `proxy`: which requests are the service's, and how they get there; with what the primary role says over it.

use cutover_core::tree::{Node, Value};

use super::env::by_name;
use crate::reading::{Item, Reading, truth};
use crate::tree::{Tree, laid_over};

/// Reads the section of the file, and that of the role.
pub(crate) fn proxy(
    root: Option<Item<'_>>,
    role: Option<&Item<'_>>,
    tree: &mut Tree,
    reading: &mut Reading<'_>,
) {
    let is = |item: &Item<'_>, wanted: bool| matches!(&item.node.value, Value::Text(text) if truth(text) == Some(wanted));
    for item in root.iter().chain(role) {
        if is(item, false) {
            reading.wrong(
                item,
                "the service has no traffic, and Cutover puts versions in front of traffic",
                "leave it out; what runs without traffic is a role beside a service that has it",
            );
            return;
        }
        if is(item, true) {
            reading.turned(item, "the service always has the traffic");
        }
    }
    let (root, role) = (root.filter(|item| !is(item, true)), role.filter(|item| !is(item, true)));
    let whole: Option<(String, Node)> = match (&root, role) {
        (Some(root), Some(role)) => {
            reading.overridden(root, role.node, "the role that is the service says otherwise");
            Some((root.path.clone(), laid_over(root.node, role.node)))
        }
        (Some(one), None) => Some((one.path.clone(), one.node.clone())),
        (None, Some(one)) => Some((one.path.clone(), one.node.clone())),
        (None, None) => None,
    };
    let Some((path, node)) = whole else { return };
    let place = root.as_ref().or(role).map_or(node.place, |item| item.place);
    let item = Item { path, place, node: &node };
    section(&item, tree, reading);
}

fn section(whole: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(whole) else { return };
    if let Some(item) = keys.take("app_port") {
        reading.carry_number(tree, &item, &["port"]);
    }
    listed([keys.take("host"), keys.take("hosts")], &["proxy", "hosts"], tree, reading);
    listed(
        [keys.take("path_prefix"), keys.take("path_prefixes")],
        &["proxy", "path_prefixes"],
        tree,
        reading,
    );
    if let Some(item) = keys.take("strip_path_prefix")
        && let Some(flag) = reading.flag(&item)
    {
        tree.text(&["proxy", "strip_path_prefix"], item.node.place, flag.to_string());
        reading.carried(&item, &["proxy", "strip_path_prefix"]);
    }
    if let Some(item) = keys.take("response_timeout") {
        reading.carry_seconds(tree, &item, &["proxy", "response_timeout"]);
    }
    let own = [keys.take("certificate_pem"), keys.take("private_key_pem")];
    let is_tls = ssl(keys.take("ssl"), own, keys.take("ssl_redirect"), tree, reading);
    if let Some(item) = keys.take("healthcheck") {
        health_check(&item, tree, reading);
    }
    if let Some(item) = keys.take("buffering") {
        buffering(&item, tree, reading);
    }
    let forwards = keys.take("forward_headers");
    if forwards.is_none() && !is_tls && tree.at(&["proxy", "hosts"]).is_some() {
        reading.left(
            whole,
            "without `ssl`, Kamal's proxy hands a client's X-Forwarded-* on to the application; here those of proxies in front alone, \
             which are named: `cutover setup --trust NETWORK`",
        );
    }
    if let Some(item) = forwards
        && let Some(flag) = reading.flag(&item)
    {
        if flag {
            reading.left(
                &item,
                "whose X-Forwarded-* count is said to the proxies of the hosts: `cutover setup --trust NETWORK`, of those in front",
            );
        } else {
            reading.turned(&item, "a client's own X-Forwarded-* never come through");
        }
    }
    if let Some(item) = keys.take("logging") {
        reading.left(
            &item,
            "what is logged of requests is said to the proxies of the hosts: `cutover setup --access-log …`",
        );
    }
    if let Some(item) = keys.take("run") {
        reading.left(&item, "how a proxy runs is said where it is made: `cutover setup --http-port … --https-port … --metrics …`");
    }
    keys.done(reading, |key| {
        (key == "canonical_host").then_some("no host is sent to another one here: let the application do it")
    });
}

/// One value, several with commas between them, or a list.
fn listed(items: [Option<Item<'_>>; 2], to: &[&str], tree: &mut Tree, reading: &mut Reading<'_>) {
    let (mut all, mut place) = (Vec::new(), None);
    for item in items.into_iter().flatten() {
        place = place.or(Some(item.place));
        let mut texts = Vec::new();
        for one in reading.items(&item) {
            let Some(text) = reading.text(&one) else { continue };
            texts.extend(text.split(',').map(|part| (one.node.place, part.trim().to_owned())));
        }
        if !texts.is_empty() {
            reading.carried(&item, to);
        }
        all.extend(texts);
    }
    if let Some(place) = place.filter(|_| !all.is_empty()) {
        tree.list(to, place, all);
    }
}

/// Says whether the service is served over TLS.
fn ssl(
    item: Option<Item<'_>>,
    own: [Option<Item<'_>>; 2],
    redirect: Option<Item<'_>>,
    tree: &mut Tree,
    reading: &mut Reading<'_>,
) -> bool {
    let mut is_on = false;
    if let Some(item) = &item {
        if matches!(item.node.value, Value::Map(_)) {
            is_on = true;
            reading.carried(item, &["proxy", "tls"]);
            if let Some(mut keys) = reading.keys(item) {
                certificate([keys.take("certificate_pem"), keys.take("private_key_pem")], tree, reading);
                keys.done(reading, |_| None);
            }
        } else if let Some(flag) = reading.flag(item) {
            is_on = flag;
            reading.carried(item, &["proxy", "tls"]);
            if own.iter().all(Option::is_none) {
                tree.text(&["proxy", "tls"], item.place, flag.to_string());
            }
        }
    }
    if own.iter().any(Option::is_some) && is_on {
        certificate(own, tree, reading);
    } else {
        for item in own.into_iter().flatten() {
            reading.idle(&item, "`ssl` is off");
        }
    }
    let Some(item) = redirect else { return is_on };
    let Some(flag) = reading.flag(&item) else { return is_on };
    if !is_on {
        reading.idle(&item, "`ssl` is off");
        return is_on;
    }
    if matches!(tree.at(&["proxy", "tls"]), Some(Node { value: Value::Text(_), .. })) {
        // In the section, an ordered certificate is said so.
        tree.put(&["proxy", "tls", "acme"], item.place, Value::Map(Vec::new()));
    }
    tree.text(&["proxy", "tls", "redirect"], item.node.place, flag.to_string());
    reading.carried(&item, &["proxy", "tls", "redirect"]);
    is_on
}

/// Both are names of secrets.
fn certificate(items: [Option<Item<'_>>; 2], tree: &mut Tree, reading: &mut Reading<'_>) {
    for (item, key) in items.into_iter().zip(["certificate", "key"]) {
        let Some(item) = item else { continue };
        let Some(name) = reading.text(&item) else { continue };
        if let Some(reference) = by_name(&name, &item, reading) {
            tree.text(&["proxy", "tls", key], item.place, reference);
            reading.carried(&item, &["proxy", "tls", key]);
        }
    }
}

fn health_check(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    if let Some(item) = keys.take("path") {
        reading.carry(tree, &item, &["readiness_probe", "path"]);
    }
    if let Some(item) = keys.take("interval") {
        reading.carry_seconds(tree, &item, &["readiness_probe", "period"]);
    }
    if let Some(item) = keys.take("timeout") {
        reading.carry_seconds(tree, &item, &["readiness_probe", "timeout"]);
    }
    if let Some(item) = keys.take("port") {
        reading.wrong_key(
            &item,
            "a replica is asked on the port of its requests",
            "leave it out, or let that port answer the path too",
        );
    }
    if let Some(item) = keys.take("host") {
        reading.carry(tree, &item, &["readiness_probe", "headers", "host"]);
    }
    keys.done(reading, |key| {
        (key == "cmd")
            .then_some("a probe by a command is `readiness_probe: {command: […]}` of the native file")
    });
}

fn buffering(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    if let Some(item) = keys.take("max_request_body") {
        let to = ["proxy", "max_request_body"];
        if let Some(bytes) = reading.number(&item) {
            tree.text(&to, item.node.place, if bytes == 0 { "0".to_owned() } else { format!("{bytes}b") });
            reading.carried(&item, &to);
        }
    }
    for key in ["requests", "responses", "memory"] {
        if let Some(item) = keys.take(key) {
            reading.idle(&item, "nothing is buffered: requests and answers stream through");
        }
    }
    if let Some(item) = keys.take("max_response_body")
        && let Some(number) = reading.number(&item)
    {
        if number == 0 {
            reading.idle(&item, "an answer may be of any size");
        } else {
            reading.left(&item, "an answer may be of any size");
        }
    }
    keys.done(reading, |_| None);
}
