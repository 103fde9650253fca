//! The tag of an image.

/// Adds the tag that is meant where there is neither tag nor digest: the Docker Engine would pull all tags.
pub fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_completed_and_the_port_is_no_tag() {
        assert_eq!(with_tag("debian"), "debian:latest");
        assert_eq!(with_tag("localhost:5000/team/app"), "localhost:5000/team/app:latest");
        assert_eq!(with_tag("localhost:5000/team/app:v1"), "localhost:5000/team/app:v1");
        assert_eq!(with_tag("app@sha256:00"), "app@sha256:00");
    }
}
