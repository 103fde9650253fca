//! What BuildKit may ask while it builds: whether we are still there, the build context, and what the build is given.

use std::sync::Arc;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use bollard_buildkit_proto::moby::upload::v1::BytesMessage;
use bollard_buildkit_proto::moby::upload::v1::upload_server::{Upload, UploadServer};
use cutover_host::Host;
use cutover_store::{Digest, Store};
use futures_util::StreamExt;
use hyper::header::HeaderName;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio_util::io::ReaderStream;
use tonic::codegen::BoxStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use ulid::Ulid;

use crate::Error;
use crate::buildkit::grants::Grants;
use crate::buildkit::logins::{self, Logins};
use crate::buildkit::secrets::{self, SecretValues};
use crate::buildkit::ssh::{self, SshAgents};
use crate::buildkit::upgrade::upgrade;

/// How much of the context goes into one message, in bytes.
const CHUNK: usize = 64 * 1024;

const SESSION_ID: HeaderName = HeaderName::from_static("x-docker-expose-session-uuid");
const SESSION_METHOD: HeaderName = HeaderName::from_static("x-docker-expose-session-grpc-method");

/// One build's session. It is open while [`serve`](Self::serve) runs: dropped with it, BuildKit ends the build.
pub(super) struct Session {
    id: String,
    store: Store,
    archive: Digest,
    grants: Arc<Grants>,
}

impl Session {
    /// A session in which BuildKit can read the context `archive` of `store`, and use what the build is given.
    pub(super) fn new(store: Store, archive: Digest, grants: Arc<Grants>) -> Self {
        Self { id: Ulid::generate().to_string().to_lowercase(), store, archive, grants }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Where BuildKit finds the context: a URL that leads back into this session.
    pub(super) fn context_url(&self) -> String {
        format!("http://buildkit-session{}", self.context_path())
    }

    fn context_path(&self) -> String {
        format!("/{}", self.id)
    }

    /// Opens the session and answers BuildKit's questions for as long as it is polled. It ends only when the connection
    /// breaks.
    pub(super) async fn serve(&self, host: &Host) -> Error {
        let mut methods = vec!["/moby.upload.v1.Upload/Pull"];
        let mut services = Routes::new(HealthServer::new(Alive));
        if self.grants.has_secrets() {
            methods.push(secrets::METHOD);
            services = services.add_service(SecretsServer::new(SecretValues(Arc::clone(&self.grants))));
        }
        if self.grants.has_agents() {
            methods.extend(ssh::METHODS);
            services = services.add_service(SshServer::new(SshAgents(Arc::clone(&self.grants))));
        }
        if self.grants.login().is_some() {
            methods.push(logins::METHOD);
            services = services.add_service(AuthServer::new(Logins(Arc::clone(&self.grants))));
        }
        let methods = methods.into_iter().map(|method| (SESSION_METHOD, method.to_owned()));
        let headers = std::iter::once((SESSION_ID, self.id.clone())).chain(methods);
        let stream = match upgrade(host, "/session", headers).await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        let context =
            Context { store: self.store.clone(), archive: self.archive.clone(), path: self.context_path() };
        let services = services.add_service(UploadServer::new(context));
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .serve_connection(stream, TowerToHyperService::new(services))
            .await;
        let broken = served.map_err(Into::into).err().unwrap_or_else(|| "the session was closed".into());
        Error::Interrupted { source: broken }
    }
}

/// Gives out the build context, as often as it is asked for, from the store: it is never whole in memory.
struct Context {
    store: Store,
    archive: Digest,
    path: String,
}

#[tonic::async_trait]
impl Upload for Context {
    type PullStream = BoxStream<BytesMessage>;

    async fn pull(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<BoxStream<BytesMessage>>, Status> {
        let asked = request.metadata().get("urlpath").and_then(|path| path.to_str().ok());
        if asked != Some(&self.path) {
            return Err(Status::not_found("this session has one build context only"));
        }
        let content = self.store.get(&self.archive).await.map_err(|e| Status::internal(e.to_string()))?;
        let messages = ReaderStream::with_capacity(content, CHUNK).map(|piece| match piece {
            Ok(piece) => Ok(BytesMessage { data: piece.into() }),
            Err(error) => Err(Status::from(error)),
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

/// Answers that the session lives; BuildKit asks every few seconds.
struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("BuildKit doesn't ask for a list"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("BuildKit checks and doesn't watch"))
    }
}
