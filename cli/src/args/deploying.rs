//! Options of the commands that begin a deployment, or decide how it goes on.

use cutover_core::Stage;

/// Options of `plan`.
#[derive(clap::Args, Debug)]
pub(crate) struct PlanArgs {
    /// The destination
    #[arg(value_name = "DESTINATION", conflicts_with = "destination")]
    pub(crate) place: Option<String>,
    /// The release's name instead of the commit
    #[arg(long, value_name = "NAME", value_parser = version_name)]
    pub(crate) version: Option<String>,
}

/// Options of `deploy`.
#[derive(clap::Args, Debug)]
pub(crate) struct Deploy {
    /// The destination
    #[arg(value_name = "DESTINATION", conflicts_with = "destination")]
    pub(crate) place: Option<String>,
    /// The release's name instead of the commit
    #[arg(long, value_name = "NAME", value_parser = version_name)]
    pub(crate) version: Option<String>,
    /// Deploy even if just this release is live, or none begins now by `deploy_windows`
    #[arg(long)]
    pub(crate) force: bool,
    /// Make the containers of what is live anew, with the values that its secrets have now; nothing is built, sent or migrated
    #[arg(long, conflicts_with_all = ["rebuild", "version"])]
    pub(crate) refresh_secrets: bool,
    /// Build also what a kept release was built of, and run every step of the Dockerfile again
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// Run none of the hooks of the deploy file
    #[arg(long)]
    pub(crate) skip_hooks: bool,
    /// Don't watch: end once the deployment is accepted
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Options of `replay`.
#[derive(clap::Args, Debug)]
pub(crate) struct Replay {
    /// The deployment's id, or its end [default: the last one]
    pub(crate) deployment: Option<String>,
    /// Do this stage and all after it again, even what was done
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<Stage>,
    /// Run none of the hooks of the deploy file
    #[arg(long)]
    pub(crate) skip_hooks: bool,
    /// Don't watch
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Options of `rollback`.
#[derive(clap::Args, Debug)]
pub(crate) struct Rollback {
    /// The release: its id, the beginning of it, or its version [default: the one that was live before]
    pub(crate) release: Option<String>,
    /// List the releases that are kept, and do nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// Boot new replicas, even where the old ones are still warm
    #[arg(long)]
    pub(crate) boot: bool,
    /// Run none of the hooks of the deploy file
    #[arg(long)]
    pub(crate) skip_hooks: bool,
    /// Don't watch
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Options of `promote`.
#[derive(clap::Args, Debug)]
pub(crate) struct Promote {
    /// Skip all steps that are left: the switch comes next
    #[arg(long)]
    pub(crate) full: bool,
    /// Don't watch how it goes on
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Options of `analyze`.
#[derive(clap::Args, Debug)]
pub(crate) struct Analyze {
    /// The deployment's id, or its end [default: the last one]
    pub(crate) deployment: Option<String>,
    /// By the terms of the deploy file as it is now, instead of those that it was judged by
    #[arg(long)]
    pub(crate) by_file: bool,
}

/// Options of `abort`.
#[derive(clap::Args, Debug)]
pub(crate) struct Abort {
    /// The deployment's id, or its end [default: the one that runs]
    pub(crate) deployment: Option<String>,
    /// Don't watch it being taken back
    #[arg(long)]
    pub(crate) detach: bool,
}

/// A version stands in lines, lists and labels: it must be short and in one word.
fn version_name(text: &str) -> Result<String, &'static str> {
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 128 printable ASCII characters without spaces")
    }
}
