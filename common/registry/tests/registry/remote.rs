//! Towards a real registry that wants to be shown tokens, as the large ones do.

use std::convert::Infallible;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use cutover_core::{RegistryLogin, Repository};
use cutover_registry::{Error, Image, Pace, Platform, Remote};
use cutover_secrets::Secret;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use url::form_urlencoded;

use crate::client::{OCI_MANIFEST, manifest, store};

const CONFIG: &[u8] = b"{\"os\":\"linux\"}";
const LIMIT: Duration = Duration::from_secs(10);

/// Debian's docker-registry, and who gives out tokens for it. Both end when this is dropped.
struct Registry {
    process: Child,
    server: String,
    folder: Arc<TempDir>,
}

impl Registry {
    async fn start() -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tokens", "-days", "1"];
        openssl(&[&new[..], &["-keyout", &path("key.pem"), "-out", &path("certificate.pem")]].concat());
        openssl(&["x509", "-in", &path("certificate.pem"), "-outform", "der", "-out", &path("certificate")]);

        let tokens = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let realm = format!("http://{}/token", tokens.local_addr().unwrap());
        tokio::spawn(give_out(tokens, Arc::clone(&folder)));
        // Free a moment ago: the program takes no socket.
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{server}'}}\n\
             auth: {{token: {{realm: '{realm}', service: hub, issuer: tokens, rootcertbundle: {}}}}}\n",
            path("content"),
            path("certificate.pem"),
        );
        std::fs::write(path("config.yml"), config).unwrap();
        let mut serve = Command::new("docker-registry");
        serve.args(["serve", &path("config.yml")]).stdout(Stdio::null()).stderr(Stdio::null());
        let process = serve.spawn().expect("docker-registry must be installed");
        let registry = Self { process, server, folder };
        let listens = async {
            while TcpStream::connect(&registry.server).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, listens).await.expect("docker-registry doesn't listen");
        registry
    }

    fn remote(&self, password: &str) -> Remote {
        let repository = Repository {
            registry: RegistryLogin {
                server: self.server.clone(),
                username: "anna".to_owned(),
                password: "env://NEVER_READ".parse().unwrap(),
            },
            repository: "acme/hello".to_owned(),
        };
        Remote::new(&repository, Secret::new(password.to_owned())).unwrap()
    }

    fn has(&self, digest: &cutover_store::Digest) -> bool {
        let blob = format!("content/docker/registry/v2/blobs/sha256/{}/{}", &digest.hex()[..2], digest.hex());
        self.folder.path().join(blob).join("data").exists()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn openssl(arguments: &[&str]) {
    let ended = Command::new("openssl").args(arguments).output().expect("openssl must be installed");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

async fn give_out(listener: TcpListener, folder: Arc<TempDir>) {
    while let Ok((stream, _)) = listener.accept().await {
        let folder = Arc::clone(&folder);
        let answer = service_fn(move |request: Request<Incoming>| {
            let folder = Arc::clone(&folder);
            async move { Ok::<_, Infallible>(token(&request, folder.path())) }
        });
        let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        tokio::spawn(serve);
    }
}

/// A token for what is asked, as Docker's token authentication specification has it, for the one who may enter.
fn token(request: &Request<Incoming>, folder: &Path) -> Response<Full<Bytes>> {
    let answer =
        |status, text: String| Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap();
    let shown = request.headers().get(AUTHORIZATION).map(|shown| shown.to_str().unwrap());
    if shown != Some(&format!("Basic {}", BASE64_STANDARD.encode("anna:hunter2"))) {
        return answer(StatusCode::UNAUTHORIZED, String::new());
    }
    let query: Vec<_> = form_urlencoded::parse(request.uri().query().unwrap().as_bytes()).collect();
    let of = |name: &str| query.iter().find(|(key, _)| key == name).unwrap().1.clone();
    let scope = of("scope");
    let [kind, name, actions] = scope.split(':').collect::<Vec<_>>()[..] else { panic!("{scope}") };
    let actions: Vec<_> = actions.split(',').map(|action| format!("\"{action}\"")).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let certificate = BASE64_STANDARD.encode(std::fs::read(folder.join("certificate")).unwrap());
    let head = format!(r#"{{"typ":"JWT","alg":"RS256","x5c":["{certificate}"]}}"#);
    let claims = format!(
        r#"{{"iss":"tokens","sub":"anna","aud":"{}","nbf":{},"exp":{},"iat":{now},"jti":"1",
             "access":[{{"type":"{kind}","name":"{name}","actions":[{}]}}]}}"#,
        of("service"),
        now - 60,
        now + 300,
        actions.join(","),
    );
    let signed = [head, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".");
    let file = tempfile::NamedTempFile::new_in(folder).unwrap();
    std::fs::write(file.path(), &signed).unwrap();
    let (key, to_sign) = (folder.join("key.pem"), file.path());
    let signature = Command::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(key).arg(to_sign).output();
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.unwrap().stdout);
    answer(StatusCode::OK, format!(r#"{{"token":"{signed}.{signature}"}}"#))
}

#[tokio::test]
async fn an_image_is_put_once_where_a_token_is_asked_for() {
    let (registry, (_folder, store)) = (Registry::start().await, store().await);
    let layers: [&[u8]; 2] = [&[1; 300_000], &[2; 70_000]];
    for content in layers.into_iter().chain([CONFIG]) {
        store.put_bytes(content).await.unwrap();
    }
    let put = async |layers: &[&[u8]], remote: &Remote| {
        let digest = store.put_bytes(manifest(OCI_MANIFEST, CONFIG, layers).as_bytes()).await.unwrap();
        let image = Image::read(&store, &digest, &Platform::linux("amd64")).await.unwrap();
        let before = remote.traffic();
        let put = remote.put(&store, &image, &Pace::default()).await;
        put.map(|()| {
            assert!(registry.has(&digest));
            let after = remote.traffic();
            assert_eq!(after.sent, after.promised);
            after.sent - before.sent
        })
    };
    let refused = put(&layers[..1], &registry.remote("hunter3")).await.unwrap_err();
    assert!(matches!(refused, Error::NotLetIn { .. }) && !refused.retryable(), "{refused:?}");
    assert!(!format!("{refused:?}").contains("hunter3"));

    let remote = registry.remote("hunter2");
    let config = CONFIG.len() as u64;
    assert_eq!(put(&layers[..1], &remote).await.unwrap(), 300_000 + config);
    assert_eq!(put(&layers[..1], &remote).await.unwrap(), 0);
    assert_eq!(put(&layers, &remote).await.unwrap(), 70_000);
}

#[tokio::test]
async fn a_registry_that_is_not_there_may_come_back() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_folder, store) = store().await;
    store.put_bytes(CONFIG).await.unwrap();
    let digest = store.put_bytes(manifest(OCI_MANIFEST, CONFIG, &[]).as_bytes()).await.unwrap();
    let image = Image::read(&store, &digest, &Platform::linux("amd64")).await.unwrap();
    let repository = Repository {
        registry: RegistryLogin {
            server: nowhere.to_string(),
            username: "anna".to_owned(),
            password: "env://NEVER_READ".parse().unwrap(),
        },
        repository: "acme/hello".to_owned(),
    };
    let remote = Remote::new(&repository, Secret::new("hunter2".to_owned())).unwrap();
    let failed = remote.put(&store, &image, &Pace::default()).await.unwrap_err();
    assert!(matches!(failed, Error::Unreachable { .. }) && failed.retryable(), "{failed:?}");
}
