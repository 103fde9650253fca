# The commands of the project. `make demo` and `make test` work on a fresh Debian 12 machine with Rust, as root.

.PHONY: audit build demo demo-rails test clean bench-deploy bench-migrator bench-prober bench-proxy bench-ship bench-verdict faults fuzz simulate

# Everything into target/dist, where each program finds the others.
build:
	scripts/build.sh

# Deploys, failures and rollbacks of a real application on two separate Docker hosts, under load, while programs are
# killed and replaced and a host loses its power: about three minutes.
demo:
	scripts/demo.sh

# The Rails application of examples/rails-ai with its model, on two hosts under load: another schema, another model, a bad model
# and a rollback, each answer compared with what was written: six minutes.
demo-rails:
	scripts/demo-rails.sh

# Format, lints, unit and end-to-end tests.
test:
	scripts/test.sh

# What the project depends on: licences, sources, second versions, banned crates and known vulnerabilities (deny.toml).
audit:
	scripts/audit.sh

clean:
	cargo clean
	rm -rf proxy/fuzz/target

# How long a deploy takes, beside the same by hand; with the release profile.
bench-deploy:
	scripts/bench.sh cutover-bench-deploy

# What an application notices of a schema change behind an old transaction, and of a million rows that are brought over,
# beside the same without Cutover; then migrators that are killed at each message and at 100 points of backfills along each
# kind of key: half an hour. One of them: make bench-migrator ARGS=queue (or backfill, or kill)
bench-migrator:
	scripts/bench-migrator.sh $(ARGS)

# How many live replicas one prober on one core watches, over as many connections as there are hosts; with the release profile: two
# minutes after the build. Others: make bench-prober ARGS="--replicas 2000 --hosts 200"
bench-prober:
	scripts/install.sh
	cargo build --quiet --release --package cutover-prober
	cargo run --quiet --release --package cutover-bench-prober -- $(ARGS)

# Each program killed and stopped at each point of each stage, on a real host under load: a quarter of an hour.
faults:
	scripts/bench.sh cutover-faults

# What the proxy parses, against bytes that nobody would send: a minute for each target, after the build.
fuzz:
	scripts/fuzz.sh

# 100,000 days of the protocol against kills, stops, lost messages, lost hosts and people: a few minutes. Another first
# seed: make simulate FROM=100000
simulate:
	cargo run --quiet --release --package cutover-simulation -- --seeds 100000 --from $(or $(FROM),0)

# Cutover's proxy beside nginx, HAProxy, Envoy, Caddy and Traefik on one core, with the release profile: half an hour. One
# table, and fewer rounds: make bench-proxy ARGS="swap --peers nginx,envoy --rounds 2"; where the CPU goes, by function: make
# bench-proxy ARGS="profile --peers nginx"
bench-proxy:
	scripts/bench-proxy.sh $(ARGS)

# An image from this machine's Docker Engine onto others: Cutover beside `docker save` through SSH and a registry behind a
# tunnel; a model's file beside scp; with the release profile: ten minutes. Over a slower link, and fewer rounds: make
# bench-ship ARGS="--rate 100mbit --rounds 1"; only the model: make bench-ship ARGS=--only-model
bench-ship:
	scripts/bench-ship.sh $(ARGS)

# How soon a version that is worse is caught, and how often a healthy one is called worse: Cutover's verdict beside the rules of
# Argo Rollouts, Flagger and Kayenta on the same simulated traffic; on one core, a few minutes. It fails where a goal is missed.
# Fewer canaries: make bench-verdict ARGS="--healthy 1000 --worse 100"
bench-verdict:
	cargo run --quiet --release --package cutover-bench-verdict -- $(ARGS)
