//! The file that nginx includes. What nginx does otherwise than Cutover's own proxy:
//!
//! - It looks for a prefix in the decoded path. A path that doesn't begin with the prefix as it was sent is answered 404 where
//!   the prefix would have to be stripped.
//! - It has one limit for the time until an answer begins and for a silence within it. Both are as long as an answer may take,
//!   but on upgraded connections and for event streams, where it is as long as a silence may be.
//! - It can't tell a connect that took too long from such an answer: neither is asked of another replica.
//! - It looks how long a body says that it is before it draws who gets the request: while a canary has a share, the larger
//!   of both limits holds.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use cutover_control::{Refusal, ServiceKey};

use crate::control::{Deployed, Ledger};
use crate::drive::nginx_log::FORMAT;
use crate::drive::options::NginxOptions;
use crate::drive::set_name::set_name;
use crate::drive::sites::{Place, Site, sites};
use crate::traffic::WHOLE;

/// Behind the name of a set: its targets without kept connections.
pub(super) const FRESH: &str = ".fresh";

/// How long nginx waits for the head of a request, in seconds: so long may a worker that is leaving have a connection on
/// which a request begins.
const HEAD_SECONDS: u64 = 10;

/// A silence that is as good as none: a day.
const FOR_EVER_MS: u64 = 86_400_000;

/// What the way of a request is called where it goes to a canary. A way is the sum of its words.
const CANARY: &str = "canary.";

/// The same where the answer is a stream.
const STREAM: &str = "stream.";

/// What stands before all servers. A request that may have been seen is sent again only where seeing it twice does no harm
/// (RFC 9110, 9.2.2), and over a kept connection only then: the application may close that at the very moment.
const MAPS: &str = r#"map "$request_method:$content_length$http_transfer_encoding" $cutover_fresh {
  default ".fresh";
  "~^(?:GET|HEAD|OPTIONS|TRACE|PUT|DELETE):0?$" "";
}
map $cutover_fresh $cutover_close { default close; "" ""; }
map $http_upgrade $cutover_upgrade { default $http_upgrade; "~*h2c" ""; }
map $cutover_upgrade $cutover_connection { default upgrade; "" close; }
map "$cutover_upgrade:$http_accept" $cutover_stream { default ""; "~^[^:]" stream.; "~*^:.*text/event-stream" stream.; }
map $http_x_request_id $cutover_request_id { default $http_x_request_id; "" $request_id; }
map $request_uri $cutover_climbs {
  default "";
  "~*^[^?]*(?:[/\x5c]|%2f|%5c)(?:\.|%2e){2}(?:[;/?\x5c]|%2f|%5c|$)" 1;
}
"#;

/// What is the same for each place.
const PROXY: &str = r#"    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_request_buffering off;
    proxy_buffer_size 16k;
    proxy_buffers 8 16k;
    proxy_busy_buffers_size 32k;
    proxy_cache off;
    proxy_redirect off;
    proxy_intercept_errors off;
    proxy_next_upstream error;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port "";
    proxy_set_header X-Forwarded-Server "";
    proxy_set_header Forwarded "";
    proxy_set_header X-Request-Id $cutover_request_id;
"#;

/// What nginx is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NginxConfig {
    pub(super) text: String,
    /// What nginx answers while it is in force.
    pub(super) generation: String,
    /// The sets that requests are counted for.
    pub(super) sets: BTreeSet<String>,
}

impl NginxConfig {
    /// What a ledger means.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] with what nginx can't do.
    pub(super) fn new(ledger: &Ledger, options: &NginxOptions) -> Result<Self, Refusal> {
        let mut text = MAPS.to_owned();
        let _ = writeln!(text, "log_format cutover escape=json {FORMAT};");
        let mut sets = BTreeSet::new();
        for (key, service) in &ledger.services {
            for deployed in service.on_duty().chain(&service.previous) {
                sets.insert(set_name(key, &deployed.deployment));
            }
            let weighted = service.weighted().map(|canary| &canary.deployed);
            for deployed in service.active.iter().chain(weighted) {
                upstreams(&mut text, key, deployed);
            }
        }
        for (number, site) in sites(ledger).iter().enumerate() {
            server(&mut text, number, site, options)?;
        }
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let generation = format!("{:016x}", hasher.finish());
        let local = options.local;
        let text = format!(
            "# Written by Cutover: what is changed here is lost.\n{text}server {{\n  listen {local};\n  access_log off;\n  \
             location / {{ return 200 \"{generation}\"; }}\n}}\n"
        );
        Ok(Self { text, generation, sets })
    }
}

fn upstreams(text: &mut String, key: &ServiceKey, deployed: &Deployed) {
    let name = set_name(key, &deployed.deployment);
    for (suffix, keepalive) in [("", "  keepalive 64;\n"), (FRESH, "")] {
        let _ = writeln!(text, "upstream {name}{suffix} {{\n  least_conn;");
        for target in &deployed.targets {
            let _ = writeln!(text, "  server {} fail_timeout=1s;", target.address);
        }
        let _ = writeln!(text, "{keepalive}}}");
    }
}

fn server(text: &mut String, number: usize, site: &Site<'_>, options: &NginxOptions) -> Result<(), Refusal> {
    // Maps stand outside of servers.
    for (at, place) in site.places.iter().enumerate().filter(|(_, place)| place.strip) {
        let prefix = escaped(place)?;
        let _ = write!(
            text,
            "map $request_uri $cutover_path_{number}_{at} {{\n  default \"\";\n  \"~^{prefix}(/.*)$\" $1;\n  \
             \"~^{prefix}(\\?.*)?$\" /$1;\n}}\n"
        );
    }
    for (at, place) in site.places.iter().enumerate() {
        draw(text, &format!("{number}_{at}"), place);
    }
    let _ = writeln!(text, "server {{");
    for listen in &options.listen {
        let default = if site.host.is_none() { " default_server" } else { "" };
        let _ = writeln!(text, "  listen {listen}{default};");
    }
    let _ = writeln!(text, "  server_name {};", site.host.unwrap_or("_"));
    let _ = writeln!(text, "  include \"{}\";", extra(&options.drive.conf_dir));
    let _ = writeln!(text, "  client_header_timeout {HEAD_SECONDS}s;\n  merge_slashes off;");
    let _ = writeln!(text, "  access_log syslog:server={},nohostname,tag=cutover cutover;", options.local);
    for (at, place) in site.places.iter().enumerate() {
        location(text, &format!("{number}_{at}"), place)?;
    }
    if !site.places.iter().any(|place| place.prefix == "/") {
        let _ = writeln!(text, "  location / {{ return 404; }}");
    }
    let _ = writeln!(text, "}}");
    Ok(())
}

/// Draws which requests go to a canary, by a number that nginx makes for each.
fn draw(text: &mut String, id: &str, place: &Place<'_>) {
    let Some(weight) = place.canary.map(|canary| canary.weight).filter(|weight| *weight < WHOLE) else {
        return;
    };
    let (percent, tenth) = (weight / 10, weight % 10);
    let _ = write!(
        text,
        "split_clients $request_id $cutover_share_{id} {{\n  {percent}.{tenth}% {CANARY};\n  * \"\";\n}}\n"
    );
}

/// What the operator adds to each server: certificates, a log of their own.
fn extra(conf_dir: &Path) -> String {
    conf_dir.join("server").join("*.conf").display().to_string()
}

fn location(text: &mut String, id: &str, place: &Place<'_>) -> Result<(), Refusal> {
    let prefix = escaped(place)?;
    if place.prefix == "/" {
        let _ = writeln!(text, "  location / {{");
    } else {
        let _ = writeln!(
            text,
            "  location ~ \"^{prefix}(?:/|$)\" {{\n    if ($cutover_climbs) {{ return 400; }}"
        );
    }
    let Some(active) = place.active else {
        let _ = writeln!(text, "    return 503;\n  }}");
        return Ok(());
    };
    if place.strip {
        let _ = writeln!(text, "    if ($cutover_path_{id} = \"\") {{ return 404; }}");
    }
    let share = match place.canary {
        None => String::new(),
        Some(canary) if canary.weight >= WHOLE => CANARY.to_owned(),
        Some(_) => format!("$cutover_share_{id}"),
    };
    let _ = write!(
        text,
        "    set $cutover_way {share}$cutover_stream;\n    if ($cutover_way) {{ return 418; }}\n    \
         error_page 418 = @${{cutover_way}}{id};\n"
    );
    let canary = place.canary.map(|canary| &canary.deployed);
    pass(text, id, place, active, false);
    let _ = writeln!(text, "    client_max_body_size {};\n  }}", largest_body(active, canary));
    let mut ways = vec![(STREAM.to_owned(), active, true)];
    if let Some(canary) = canary {
        ways.push((CANARY.to_owned(), canary, false));
        ways.push((format!("{CANARY}{STREAM}"), canary, true));
    }
    for (way, deployed, is_stream) in ways {
        let _ = writeln!(text, "  location @{way}{id} {{");
        pass(text, id, place, deployed, is_stream);
        let _ = writeln!(text, "    client_max_body_size {};\n  }}", largest_body(deployed, None));
    }
    Ok(())
}

/// Passes on to a deployment what comes here.
fn pass(text: &mut String, id: &str, place: &Place<'_>, deployed: &Deployed, is_stream: bool) {
    let name = set_name(place.key, &deployed.deployment);
    let path = if place.strip { format!("$cutover_path_{id}") } else { String::new() };
    let timeouts = &deployed.timeouts;
    let silence = if timeouts.idle_ms == 0 { FOR_EVER_MS } else { timeouts.idle_ms };
    let (to, upgrade, connection, read_ms) = if is_stream {
        (format!("{name}{FRESH}{path}"), "$cutover_upgrade", "$cutover_connection", silence)
    } else {
        (format!("{name}$cutover_fresh{path}"), "", "$cutover_close", timeouts.response_ms)
    };
    let _ = write!(text, "    proxy_pass http://{to};\n{PROXY}");
    let _ = writeln!(text, "    proxy_set_header Upgrade \"{upgrade}\";");
    let _ = writeln!(text, "    proxy_set_header Connection \"{connection}\";");
    let prefix = if place.strip { place.prefix } else { "" };
    let _ = writeln!(text, "    proxy_set_header X-Forwarded-Prefix \"{prefix}\";");
    let _ = writeln!(text, "    proxy_connect_timeout {}ms;", timeouts.connect_ms);
    let _ = writeln!(text, "    proxy_read_timeout {read_ms}ms;\n    proxy_send_timeout {read_ms}ms;");
}

/// The bytes of a body that one of two deployments takes; 0: as many as it likes.
fn largest_body(one: &Deployed, other: Option<&Deployed>) -> u64 {
    let limits = std::iter::once(one).chain(other).map(|deployed| deployed.max_request_body);
    limits.max_by_key(|limit| limit.unwrap_or(u64::MAX)).flatten().unwrap_or(0)
}

/// A prefix as it stands in a regular expression; of `/` nothing is left.
fn escaped(place: &Place<'_>) -> Result<String, Refusal> {
    if place.prefix.contains(['%', '$']) {
        let message = format!(
            "nginx can't route {} of {}: a % or a $ in it has another meaning there",
            place.prefix, place.key
        );
        return Err(Refusal::Invalid { message });
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_');
    Ok(place.prefix.trim_end_matches('/').bytes().fold(String::new(), |mut text, byte| {
        if !is_plain(byte) {
            text.push('\\');
        }
        text.push(char::from(byte));
        text
    }))
}
