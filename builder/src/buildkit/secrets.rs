//! The secrets that a build reads: `RUN --mount=type=secret`.

use std::sync::Arc;

use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::Secrets;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use tonic::{Request, Response, Status};

use crate::buildkit::grants::Grants;

/// What BuildKit may call, as it must be announced.
pub(super) const METHOD: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";

/// Gives out the secrets of one build, and no others.
pub(super) struct SecretValues(pub(super) Arc<Grants>);

#[tonic::async_trait]
impl Secrets for SecretValues {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        // BuildKit goes on without a secret that a step doesn't require, if the answer is this one.
        let absent =
            || Status::not_found(format!("secret {id} is not in `builder.secrets` of the deploy file"));
        let secret = self.0.secret(&id).ok_or_else(absent)?;
        Ok(Response::new(GetSecretResponse { data: secret.expose().as_bytes().to_vec() }))
    }
}
