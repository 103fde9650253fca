use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bollard::query_parameters::ListContainersOptions;
use cutover_host::Host;

use super::Error;

const LIMIT: Duration = Duration::from_secs(10);

/// Who holds a TCP port of a host, in words; nobody, where it is free.
pub(super) async fn holder(host: &Host, port: u16) -> Result<Option<String>, Error> {
    if let Some(container) = container(host, port).await? {
        return Ok(Some(container));
    }
    let output = host.run(&["ss", "-Hltnp", &format!("sport = :{port}")], LIMIT).await?;
    if output.success() {
        return Ok(listener(&String::from_utf8_lossy(&output.stdout)));
    }
    // A host without iproute2: whoever answers stays unnamed.
    match host.connect_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LIMIT).await {
        Ok(_) => Ok(Some("a process that is not known".to_owned())),
        Err(cutover_host::Error::NotListening { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn container(host: &Host, port: u16) -> Result<Option<String>, Error> {
    let docker = host.docker().await?;
    let listing = docker.list_containers(None::<ListContainersOptions>).await;
    let containers = listing.map_err(host.docker_failed("listing its containers"))?;
    let publishes =
        |ports: &[bollard::models::PortSummary]| ports.iter().any(|one| one.public_port == Some(port));
    let found = containers.into_iter().find(|container| container.ports.as_deref().is_some_and(publishes));
    Ok(found.map(|container| {
        let name = container.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
        let image = container.image.unwrap_or_default();
        format!("the container {} (image {image})", name.trim_start_matches('/'))
    }))
}

/// Reads what `ss -Hltnp` says of the listeners on one port: the process stands in `users:(("nginx",pid=812,fd=6))`, and
/// only root is told of those of others.
fn listener(listing: &str) -> Option<String> {
    let line = listing.lines().find(|line| !line.trim().is_empty())?;
    let Some((_, users)) = line.split_once("users:((\"") else {
        return Some("a process of another user".to_owned());
    };
    let name = users.split('"').next().unwrap_or_default();
    let pid = users.split_once("pid=").and_then(|(_, rest)| rest.split(',').next()).unwrap_or("unknown");
    Some(format!("{name} (pid {pid})"))
}

#[cfg(test)]
mod tests {
    use super::listener;

    #[test]
    fn the_process_that_listens_is_named() {
        let nginx =
            r#"LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=812,fd=6),("nginx",pid=811,fd=6))"#;
        assert_eq!(listener(nginx).as_deref(), Some("nginx (pid 812)"));
        assert_eq!(listener("LISTEN 0 511 [::]:80 [::]:*").as_deref(), Some("a process of another user"));
        assert_eq!(listener("\n"), None);
    }
}
