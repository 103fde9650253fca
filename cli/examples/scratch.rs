#[path = "../src/embedded/mod.rs"]
mod embedded;
#[path = "../src/setup/mod.rs"]
mod setup;
use std::path::PathBuf;
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let home = std::env::var_os("CUTOVER_HOME").map(PathBuf::from).unwrap_or_default();
    let say = |line: &str| println!("{line}");
    match words[1].as_str() {
        "up" => {
            let zero = std::env::var_os("ZERO").is_some();
            let scale = cutover_core::Program::ALL.into_iter().filter(|_| zero).map(|p| (p, 0)).collect();
            let options =
                embedded::Options { restart: words.get(2).is_some(), scale, ..embedded::Options::new(&home) };
            println!("{}", embedded::up(&options, &say).await?.summary())
        }
        "ensure" => println!("{}", embedded::ensure(&home, &say).await?.summary()),
        "down" => println!("{:?}", embedded::down(&home).await?),
        "supervise" => embedded::supervise(&home).await?,
        "setup" => {
            let options = setup::Options {
                hosts: vec![cutover_core::HostSpec {
                    name: words[2].parse()?,
                    port: 22,
                    user: "root".into(),
                }],
                accept_new: true,
                http_port: words[3].parse()?,
                proxy_binary: std::env::var_os("PROXY").map(PathBuf::from),
                upgrade_proxy: words.get(4).is_some(),
            };
            setup::setup(&options, &|step| println!("{step}")).await?
        }
        _ => {}
    }
    Ok(())
}
