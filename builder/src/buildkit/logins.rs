//! The registries that a build pulls from with a password: base images and caches.

use std::sync::Arc;

use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use tonic::{Request, Response, Status};

use crate::buildkit::grants::Grants;

/// What BuildKit may call, as it must be announced.
pub(super) const METHOD: &str = "/moby.filesync.v1.Auth/Credentials";

/// What BuildKit calls Docker Hub.
const HUB: [&str; 2] = ["registry-1.docker.io", "docker.io"];

/// Gives out the name and the password of the one registry that a build has them for. Others are entered without.
pub(super) struct Logins(pub(super) Arc<Grants>);

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let host = if HUB.contains(&host.as_str()) { "docker.io" } else { &host };
        let login = self.0.login().filter(|(login, _)| login.server == host);
        let answer = login.map(|(login, password)| CredentialsResponse {
            username: login.username.clone(),
            secret: password.expose().to_owned(),
        });
        Ok(Response::new(answer.unwrap_or_default()))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("BuildKit fetches its tokens itself"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("BuildKit fetches its tokens itself"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("BuildKit fetches its tokens itself"))
    }
}
