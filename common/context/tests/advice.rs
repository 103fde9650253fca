//! What is said of Dockerfiles, each with its line.
#![allow(clippy::unwrap_used)]

use cutover_context::{Concern, advise};
use cutover_core::Recipe;

/// What is said besides `quiet`, which most of the cases aren't about.
fn told(text: &str, recipe: &Recipe) -> Vec<(usize, Concern)> {
    let quiet = |concern: &Concern| matches!(concern, Concern::Root(None) | Concern::NoHealthcheck);
    let advice = advise(text, recipe, false).into_iter();
    advice.filter(|advice| !quiet(&advice.concern)).map(|advice| (advice.line, advice.concern)).collect()
}

fn all(text: &str) -> Vec<(usize, Concern)> {
    told(text, &Recipe::default())
}

fn model(name: &str) -> Concern {
    Concern::Model(name.to_owned())
}

#[test]
fn a_good_dockerfile_is_left_in_peace() {
    let text = "# syntax=docker/dockerfile:1\n\
        ARG RUBY=3.3\n\
        FROM ruby:${RUBY}-slim AS build\n\
        ARG SECRET_KEY_BASE_DUMMY=1\n\
        RUN --mount=type=secret,id=npm_token npm ci\n\
        FROM ruby:${RUBY}-slim\n\
        COPY --from=build /app /app\n\
        COPY .env.example /app/.env.example\n\
        ENV RAILS_ENV=production TLS_KEY_FILE=/run/key\n\
        HEALTHCHECK CMD curl -f localhost/up\n\
        USER 1000:1000\n\
        CMD [\"bin/server\"]\n";
    assert_eq!(advise(text, &Recipe::default(), false), []);
}

#[test]
fn who_the_image_runs_as_is_what_its_chain_says_last() {
    let root = |user: Option<&str>| Concern::Root(user.map(str::to_owned));
    let cases = [
        ("FROM a:1\n", None, Some((1, root(None)))),
        ("FROM a:1\nUSER root\n", None, Some((2, root(Some("root"))))),
        ("FROM a:1\nUSER app\nUSER 0:0\n", None, Some((3, root(Some("0:0"))))),
        ("FROM a:1\nUSER app\n", None, None),
        ("FROM a:1 AS base\nUSER app\nFROM b:1 AS other\nFROM base\nRUN x\n", None, None),
        ("FROM a:1 AS base\nUSER app\n\nFROM b:1\nCOPY --from=base /a /a\n", None, Some((4, root(None)))),
        ("FROM a:1 AS prod\nUSER app\nFROM prod AS test\nUSER root\n", Some("PROD"), None),
        ("FROM a:1 AS prod\nUSER app\nFROM prod AS test\nUSER root\n", None, Some((4, root(Some("root"))))),
        ("FROM gcr.io/distroless/static:nonroot\n", None, None),
    ];
    for (text, target, expected) in cases {
        let recipe = Recipe { target: target.map(str::to_owned), ..Recipe::default() };
        let advice = advise(text, &recipe, false).into_iter();
        let mut said = advice.filter(|advice| matches!(advice.concern, Concern::Root(_)));
        assert_eq!(said.next().map(|advice| (advice.line, advice.concern)), expected, "{text}");
        assert!(advise(text, &recipe, true).iter().all(|advice| !matches!(advice.concern, Concern::Root(_))));
    }
}

#[test]
fn a_base_that_moves_is_named_as_it_is_expanded() {
    let moving = |line, image: &str| (line, Concern::MovingBase(image.to_owned()));
    let cases = [
        ("FROM debian\n", vec![moving(1, "debian")]),
        ("FROM localhost:5000/a/b\n", vec![moving(1, "localhost:5000/a/b")]),
        ("FROM debian:latest AS a\nFROM a\n", vec![moving(1, "debian:latest")]),
        ("ARG TAG=latest\nFROM debian:$TAG\n", vec![moving(2, "debian:latest")]),
        ("FROM debian:${TAG:-latest}\n", vec![moving(1, "debian:latest")]),
        ("FROM debian:${TAG}\n", vec![]),
        ("FROM scratch\n", vec![]),
        ("FROM debian@sha256:00\n", vec![]),
        ("FROM debian:12\n", vec![]),
    ];
    for (text, expected) in cases {
        assert_eq!(all(text), expected, "{text}");
    }
    let recipe = Recipe { args: [("TAG".to_owned(), "12".to_owned())].into(), ..Recipe::default() };
    assert_eq!(told("ARG TAG=latest\nFROM debian:$TAG\n", &recipe), []);
}

#[test]
fn secrets_are_seen_in_variables_and_files_of_every_stage() {
    let value = |line, name: &str| (line, Concern::SecretValue(name.to_owned()));
    let file = |line, name: &str| (line, Concern::SecretFile(name.to_owned()));
    let text = "FROM a:1 AS build\n\
        ARG NPM_TOKEN\n\
        ENV A=1 \\\n  DB_PASSWORD=\"x y\" \\\n  API_KEY=z\n\
        ENV SECRET_KEY_BASE the rest of it\n\
        ENV EMPTY_TOKEN=\"\" SIGNING_PUBLIC_KEY=x\n\
        FROM a:1\n\
        COPY .env config/master.key /app/\n\
        ADD --chown=1:1 [\"deploy id_rsa\", \"certs/tls.pem\", \"/app/\"]\n\
        COPY <<EOF /script\nENV FAKE_TOKEN=1\nEOF\n\
        COPY .env.production .env.sample /\n";
    assert_eq!(
        all(text),
        [
            value(2, "NPM_TOKEN"),
            value(3, "DB_PASSWORD"),
            value(3, "API_KEY"),
            value(6, "SECRET_KEY_BASE"),
            file(9, ".env"),
            file(9, "config/master.key"),
            file(10, "deploy id_rsa"),
            file(10, "certs/tls.pem"),
            file(14, ".env.production"),
        ]
    );
}

#[test]
fn models_are_seen_where_they_are_copied_or_fetched_into_the_image() {
    let text = "FROM a:1 AS other\n\
        RUN curl -O https://example.com/unused.gguf\n\
        FROM a:1\n\
        COPY models/minilm.safetensors /models/\n\
        ADD https://example.com/m.onnx?download=true /models/\n\
        RUN echo hello && \\\n    curl -L \"https://example.com/llama.gguf\" -o /m\n\
        RUN <<EOF\nset -e\nhuggingface-cli download acme/model\nEOF\n\
        RUN rm -f /tmp/old.pt\n";
    assert_eq!(
        all(text),
        [
            (4, model("models/minilm.safetensors")),
            (5, model("https://example.com/m.onnx?download=true")),
            (6, model("https://example.com/llama.gguf")),
            (8, model("huggingface-cli download")),
        ]
    );
}

#[test]
fn the_stop_signal_matters_where_a_shell_or_the_program_would_swallow_it() {
    let signal = |program: &str, signal| Concern::StopSignal { program: program.to_owned(), signal };
    let cases = [
        ("FROM a:1\nCMD bin/server -p 80\n", vec![(2, Concern::ShellForm)]),
        ("FROM a:1\nCMD exec bin/server\n", vec![]),
        ("FROM a:1\nCMD [\"bin/server\"]\n", vec![]),
        ("FROM a:1\nENTRYPOINT [\"bin/entry\"]\nCMD bin/server\n", vec![]),
        (
            "FROM a:1\nCMD [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]\n",
            vec![(2, signal("nginx", "SIGQUIT"))],
        ),
        ("FROM a:1\nSTOPSIGNAL SIGQUIT\nCMD [\"nginx\"]\n", vec![]),
        ("FROM a:1\nCMD exec uwsgi --ini app.ini\n", vec![(2, signal("uwsgi", "SIGINT"))]),
    ];
    for (text, expected) in cases {
        assert_eq!(all(text), expected, "{text}");
    }
}

#[test]
fn another_escape_character_and_odd_texts_are_read() {
    let text = "# escape=`\nFROM a:1\nENV A=1 `\n  B_TOKEN=2\n";
    assert_eq!(all(text), [(3, Concern::SecretValue("B_TOKEN".to_owned()))]);
    for text in ["", "ARG A=1\n", "RUN x\n", "FROM\n", "FROM a AS\n", "COPPY a b\n", "FROM a:1\nRUN <<EOF\n"]
    {
        assert_eq!(all(text), [], "{text}");
    }
    let recipe = Recipe { target: Some("absent".to_owned()), ..Recipe::default() };
    assert_eq!(told("FROM debian\n", &recipe), []);
}

#[test]
fn what_is_said_names_the_line_and_the_way_out() {
    let advice = advise("FROM debian\n", &Recipe::default(), true);
    let text: Vec<String> = advice.iter().map(ToString::to_string).collect();
    assert_eq!(text[0], "line 1: debian is another image tomorrow: name a version, or a digest");
    assert!(text[1].contains("HEALTHCHECK"), "{text:?}");
}
