//! Where and how an image is built.

use cutover_core::{BuildContext, Digest, Plan, Release, Source, Target};

use super::with;

#[test]
fn only_a_build_on_another_machine_needs_a_builder_that_goes_there() {
    let protocol = |recipe: &str| {
        let Target { image, settings, .. } = with(&format!("builder: {{{recipe}}}"));
        let archive = Digest::of(b"context");
        let recipe = Box::new(image.recipe().unwrap().clone());
        let source = Source::Context(BuildContext { archive, recipe });
        Plan::protocol_for(&Release { version: "v1".into(), source, settings, migrations: Vec::new() })
    };
    assert_eq!(protocol("dockerfile: other"), 2);
    assert_eq!(protocol("platform: linux/arm64"), 4);
    assert_eq!(protocol("remote: ssh://build.example.com"), 5);
}
